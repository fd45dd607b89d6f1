// A CUDA module of another build of the library, to be refused.
#include "backend/cuda_module.hpp"

extern "C" LOSSATLAS_API const lossatlas::CudaModule* lossatlas_cuda_module() {
  static const lossatlas::CudaModule module = {LOSSATLAS_MODULE_ABI, LOSSATLAS_MODULE_VERSION, nullptr, nullptr,
                                               nullptr};
  return &module;
}
