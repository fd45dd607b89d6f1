#include <lossatlas/output_file.hpp>

#include "file/atomic_file.hpp"
#include "file/output_path.hpp"

namespace lossatlas {

std::filesystem::path followed(const std::filesystem::path& file) { return followed(FileContext{file, "followed"}); }

void write_text(const std::filesystem::path& file, std::string_view text) { write_file(file, text, "write_text"); }

}  // namespace lossatlas
