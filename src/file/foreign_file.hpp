// Files of other programs, told by their first bytes: what they are, and what to do with them.
#pragma once

#include <string_view>

#include "file/file_context.hpp"
#include "file/input_file.hpp"

namespace lossatlas {

inline constexpr std::string_view kNpyMagic = "\x93NUMPY";

/// Throws FileError when a file that begins so is of a known kind that isn't the `expected` one ("an .npy file"),
/// naming both and the way from one to the other. Returns for unknown kinds, text among them.
void refuse_foreign(std::string_view begin, std::string_view expected, const FileContext& context);

/// The same of an open file, whose position is kept.
void refuse_foreign(InputFile& input, std::string_view expected);

}  // namespace lossatlas
