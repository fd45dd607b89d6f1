#include "format/loss_reader.hpp"

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "file/input_file.hpp"
#include "format/npy_header.hpp"

namespace lossatlas {

LossReader loss_reader(std::span<const double> losses, std::int64_t heads) {
  return [losses, heads](std::int64_t first, std::span<double> to) {
    std::copy_n(losses.begin() + first * heads, to.size(), to.begin());
  };
}

LossReader loss_reader(const std::filesystem::path& file, const Grid& grid, std::int64_t heads,
                       std::string_view function) {
  const auto input = std::make_shared<InputFile>(file, function);
  std::vector<std::int64_t> shape = grid.shape();
  shape.push_back(heads);
  const std::string header = npy_header_text(shape);
  const auto begin = static_cast<std::int64_t>(header.size());
  std::string found(static_cast<std::size_t>(std::min(input->size(), begin)), '\0');
  input->read(std::as_writable_bytes(std::span(found)));
  input->context().require(heads >= 1 && found == header && (input->size() - begin) / 8 / heads == grid.size(),
                           "of other content, expected the losses of ", grid.describe(), " and ", heads,
                           " heads as write_section() makes them");
  return [input, begin, heads](std::int64_t first, std::span<double> to) {
    input->seek(begin + 8 * heads * first);
    input->read(std::as_writable_bytes(to));
  };
}

}  // namespace lossatlas
