#pragma once

#include <string>

#include <lossatlas/export.hpp>

namespace lossatlas {

/// "0.1.0".
LOSSATLAS_API const char* version();
/// The SIMD target that the CPU backend runs on this machine ("AVX3", "AVX2", "SSE4", "SCALAR").
LOSSATLAS_API const char* simd_target();
/// The BLAS in use and its kernel, for reports.
LOSSATLAS_API std::string blas_library();

}  // namespace lossatlas
