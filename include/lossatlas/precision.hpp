#pragma once

#include <cstdint>
#include <string>

#include <lossatlas/export.hpp>

namespace lossatlas {

/// Arithmetic of a section evaluation. Gradients and everything built on them are always f64.
///
/// f64: double. f32: single, sums over samples in double, about 1e-7 of |loss| + mean max |output|.
/// fast: for previews, about 1e-4, where layers have few units up to 2e-3; a device without a faster way computes it in
/// f32 and the result says so. Grid points whose numbers would leave the range of half precision are computed in f32,
/// and the result still says fast.
enum class Precision : std::uint8_t { f64, f32, fast };

LOSSATLAS_API const char* name(Precision precision);
/// Throws InvalidArgument unless "f64", "f32" or "fast".
LOSSATLAS_API Precision parse_precision(const std::string& text);

}  // namespace lossatlas
