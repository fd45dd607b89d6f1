// Vectorised activations and their derivatives over contiguous doubles. The bits of a value depend neither on its
// neighbours nor on the count.
#pragma once

#include <cstdint>

#include <lossatlas/activation.hpp>

namespace lossatlas::cpu {

/// result (count) ← φ(x); result may be x.
void apply(Activation activation, std::int64_t count, const double* x, double* result);

/// values (count) ← φ'(x) ⊙ values.
void multiply_slope(Activation activation, std::int64_t count, const double* x, double* values);

/// values (count) ← φ''(x) ⊙ values, from x, φ(x) and φ'(x).
void multiply_bend(Activation activation, std::int64_t count, const double* x, const double* post, const double* slope,
                   double* values);

/// values (count) ← factor ⊙ values.
void multiply(std::int64_t count, const double* factor, double* values);

/// result (count) ← s x.
void scale(std::int64_t count, double s, const double* x, double* result);

/// values (count) += s x.
void add_scaled(std::int64_t count, double s, const double* x, double* values);

}  // namespace lossatlas::cpu
