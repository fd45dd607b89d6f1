// Colours of the figures: the viridis map, the colour of what is not finite, and the colours of curves.
#pragma once

#include <cstdint>

namespace lossatlas {

struct Colour {
  std::uint8_t r = 0, g = 0, b = 0;
  friend bool operator==(const Colour&, const Colour&) = default;
};

inline constexpr Colour kWhite{255, 255, 255};
inline constexpr Colour kInk{38, 38, 38};  ///< axes and text
inline constexpr Colour kGridLine{230, 230, 230};
inline constexpr Colour kNonFinite{255, 0, 255};  ///< neither viridis nor a curve comes near it

/// Viridis at t in [0, 1], clamped: entry ⌊256 t⌋ of its table (van der Walt and Smith, CC0). NaN gives kNonFinite.
Colour viridis(double t);

inline constexpr std::int64_t kCurveColours = 7;
/// Colour of the k-th curve: the Okabe–Ito set, told apart also by colour-blind readers; repeats after kCurveColours.
Colour curve_colour(std::int64_t k);

/// 0..255 of a value in [0, 1], clamped and rounded; NaN gives 0.
std::uint8_t to_byte(double value);

}  // namespace lossatlas
