// How fast Chebyshev coefficients decay, and what that says about those that were left out.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include <lossatlas/chebyshev.hpp>
#include <lossatlas/precision.hpp>

namespace lossatlas {

/// a(k), k = 0..K_i−1: the largest over heads of Σ |c| over the coefficients of degree k along axis i, over the head's
/// scale (a head with scale 0 counts as 0).
std::vector<double> degree_profile(const ChebyshevInterpolant& interpolant, std::size_t axis,
                                   std::span<const double> scale);

/// The level that rounding errors of one loss may have, relative to the scale: some ten times what is usual.
double rounding_level(Precision precision);

/// The error that is always stated: of rounding in the losses and in p, ε max(64, ΣK_i) in f64.
double estimate_floor(std::span<const ChebyshevAxis> axes, Precision precision);

/// a(k) along an axis of independent rounding errors of that level: level · sqrt(2^z Π_{j≠i} K_j / K_i).
double rounding_profile(std::span<const ChebyshevAxis> axes, std::size_t axis, double level);

struct Decay {
  double tail = 0;        ///< estimate of the error by the coefficients left out along the axis
  bool rounding = false;  ///< the upper half is as flat and as small as rounding, which more nodes leave as it is
};

/// Of a profile of at least 5 degrees 0..n. With b the largest a(k) for n/2 ≤ k < 3n/4 and c that for 3n/4 ≤ k ≤ n:
/// q = (c/b)^{4/n} ≤ max(0.99, 1 − 4/n), e = max over k ≥ n/2 of a(k) q^{n−k}, tail = 2eq/(1 − q): twice the geometric
/// series that stays above the upper half, as coefficients that are left out also fold back onto those that are kept.
/// Coefficients that vanish by symmetry or change sign do not hide the others so. It is rounding where no a(k) of the
/// upper half is above `rounding` and the mean of its later half not below that of its earlier one, but for chance:
/// coefficients of a jump, which fall as 1/k, have the ratio 0.7. The tail is infinite where an a(k) is not finite.
Decay decay_of(std::span<const double> profile, double rounding);

}  // namespace lossatlas
