#pragma once

#include <string>

#include <lossatlas/export.hpp>

namespace lossatlas {

/// The version of the library, such as "0.2.0".
LOSSATLAS_API const char* version();
/// The SIMD target that the CPU backend runs on this machine ("AVX3", "AVX2", "SSE4", "SCALAR").
LOSSATLAS_API const char* simd_target();
/// The BLAS in use and its kernel, for reports.
LOSSATLAS_API std::string blas_library();
/// The other libraries in use and their versions: "Highway 1.0.3, libpng 1.6.39, zlib 1.2.13".
LOSSATLAS_API std::string other_libraries();
/// The file of the CUDA module that a CUDA device opens: beside the library, or named by the environment variable
/// LOSSATLAS_CUDA_MODULE. Empty where there is no such file.
LOSSATLAS_API std::string cuda_module_file();

}  // namespace lossatlas
