// Recognises files of other programs by their first bytes, and says what to do with them.
#pragma once

#include <string_view>

#include "file/file_context.hpp"
#include "file/input_file.hpp"

namespace lossatlas {

inline constexpr std::string_view kNpyMagic = "\x93NUMPY";

/// Throws FileError if a file with this beginning is of a known kind other than `expected` ("an .npy file"); the
/// message names both and how to get from one to the other. Returns for unknown kinds, text among them.
void refuse_foreign(std::string_view begin, std::string_view expected, const FileContext& context);

/// The same for an open file, whose position is kept.
void refuse_foreign(InputFile& input, std::string_view expected);

}  // namespace lossatlas
