#pragma once

#include <cstdint>
#include <string>

#include <lossatlas/export.hpp>

namespace lossatlas {

/// Arithmetic of a section evaluation. Gradients and everything built on them are always f64.
///
/// f64: double. f32: single, with sums over samples in double; error about 1e-7 of |loss| + mean max |output|.
/// fast: for previews; error about 1e-4, up to 2e-3 where layers have few units. A device without a faster way computes
/// in f32, and the result says so. Grid points that would leave the range of half precision are computed in f32, and
/// the result still says fast.
enum class Precision : std::uint8_t { f64, f32, fast };

/// "f64", "f32" or "fast".
LOSSATLAS_API const char* name(Precision precision);
/// The inverse of name(). Throws InvalidArgument.
LOSSATLAS_API Precision parse_precision(const std::string& text);

}  // namespace lossatlas
