#include <lossatlas/version.hpp>

#include <hwy/highway.h>
#include <png.h>
#include <zlib.h>

#include "backend/backend.hpp"
#include "linalg/blas.hpp"

namespace lossatlas {

const char* version() { return LOSSATLAS_VERSION; }
const char* simd_target() { return cpu::simd_target_name(); }
std::string blas_library() { return cpu::blas_name(); }
std::string other_libraries() {
  const std::string highway =
      std::to_string(HWY_MAJOR) + '.' + std::to_string(HWY_MINOR) + '.' + std::to_string(HWY_PATCH);
  return "Highway " + highway + ", libpng " + png_get_libpng_ver(nullptr) + ", zlib " + zlibVersion();
}

}  // namespace lossatlas
