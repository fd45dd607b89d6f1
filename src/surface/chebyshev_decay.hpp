// How fast Chebyshev coefficients decay, and what that says about the omitted ones.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include <lossatlas/chebyshev.hpp>
#include <lossatlas/precision.hpp>

namespace lossatlas {

/// a(k), k = 0..K_i−1: the largest over heads of Σ |c| over the coefficients of degree k along axis i, divided by the
/// head's scale (a head with scale 0 counts as 0).
std::vector<double> degree_profile(const ChebyshevInterpolant& interpolant, std::size_t axis,
                                   std::span<const double> scale);

/// The assumed level of rounding errors in one loss, relative to the scale: some ten times the usual one.
double rounding_level(Precision precision);

/// The least error ever stated: rounding in the losses and in p, ε max(64, ΣK_i) in f64.
double estimate_floor(std::span<const ChebyshevAxis> axes, Precision precision);

/// a(k) along an axis if the losses are independent rounding errors of that level: level · sqrt(2^z Π_{j≠i} K_j / K_i).
double rounding_profile(std::span<const ChebyshevAxis> axes, std::size_t axis, double level);

struct Decay {
  double tail = 0;        ///< estimated error from the coefficients omitted along the axis
  bool rounding = false;  ///< the upper half is as flat and small as rounding; more nodes would not help
};

/// Judges a profile of at least 5 degrees 0..n. With b the largest a(k) for n/2 ≤ k < 3n/4 and c that for 3n/4 ≤ k ≤ n:
/// q = (c/b)^{4/n} ≤ max(0.99, 1 − 4/n), e = max over k ≥ n/2 of a(k) q^{n−k}, tail = 2eq/(1 − q). This is twice the
/// geometric series that bounds the upper half, since omitted coefficients also fold back onto those kept; coefficients
/// that vanish by symmetry or change sign cannot hide the others. The profile counts as rounding if no a(k) of the
/// upper half exceeds `rounding` and, but for chance, the mean of its later half is not below that of its earlier half:
/// for a jump, whose coefficients fall as 1/k, their ratio is 0.7. The tail is infinite if any a(k) is not finite.
Decay decay_of(std::span<const double> profile, double rounding);

}  // namespace lossatlas
