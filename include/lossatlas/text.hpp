#pragma once

#include <string>
#include <string_view>

#include <lossatlas/export.hpp>

namespace lossatlas {

/// Makes text of unknown origin (a path, a name in a file) fit for one line of a terminal or a log. Valid UTF-8 stays
/// as it is; control characters, line ends, marks that turn the direction of writing and bytes that are not UTF-8
/// become \xNN, NN in lower case. Text above 1000 bytes loses its middle ("..."). The message of every Error has passed
/// through it.
/// @snippet api/files.cpp paths
LOSSATLAS_API std::string one_line(std::string_view text);

}  // namespace lossatlas
