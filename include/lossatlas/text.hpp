#pragma once

#include <string>
#include <string_view>

#include <lossatlas/export.hpp>

namespace lossatlas {

/// Text of unknown origin (a path, a name in a file) as part of one line of a terminal or a log. Valid UTF-8 stays as
/// it is; control characters, line ends, marks that turn the direction of writing and bytes that are no UTF-8 become
/// \xNN. Of more than 1000 bytes the middle is left out ("..."). Messages of every Error have passed through it.
LOSSATLAS_API std::string one_line(std::string_view text);

}  // namespace lossatlas
