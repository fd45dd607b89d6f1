#include <lossatlas/version.hpp>

#include "cpu/blas.hpp"
#include "cpu/section_executor.hpp"

namespace lossatlas {

const char* version() { return LOSSATLAS_VERSION; }
const char* simd_target() { return cpu::simd_target_name(); }
std::string blas_library() { return cpu::blas_name(); }

}  // namespace lossatlas
