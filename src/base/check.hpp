// Messages and checks of arguments, in one form: `[function] received X, expected Y; do Z`.
#pragma once

#include <cmath>
#include <cstdint>
#include <locale>
#include <span>
#include <sstream>
#include <string>
#include <string_view>

#include <lossatlas/error.hpp>
#include <lossatlas/text.hpp>

namespace lossatlas {

/// A stream that throws bad_alloc where a plain one would silently drop the rest of a text, and that writes numbers the
/// same way whatever locale the program has set.
struct TextStream : std::ostringstream {
  TextStream() {
    exceptions(std::ios::badbit);
    imbue(std::locale::classic());
  }
};

/// Streams the parts into one string; numbers have 17 digits.
template <class... Parts>
std::string text_of(const Parts&... parts) {
  TextStream text;
  text.precision(17);
  (text << ... << parts);
  return text.str();
}

/// "[function] " followed by the parts, on one line.
template <class... Parts>
std::string message(std::string_view function, const Parts&... parts) {
  return one_line(text_of('[', function, "] ", parts...));
}

/// Throws E with the message unless `condition`.
template <class E = InvalidArgument, class... Parts>
void require(bool condition, std::string_view function, const Parts&... parts) {
  if (!condition) throw E(message(function, parts...));
}

/// Throws InvalidArgument naming the first entry that is NaN or infinite.
inline void require_finite(std::span<const double> values, std::string_view function, std::string_view argument) {
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (!std::isfinite(values[i])) {
      throw InvalidArgument(message(function, "received ", argument, " with entry ", i, " = ", values[i],
                                    ", expected finite values; remove or replace it"));
    }
  }
}

}  // namespace lossatlas
