#include "cuda/workspace.hpp"

namespace lossatlas::cuda {
namespace {

std::int64_t attribute(cudaDeviceAttr which, int index) {
  int value = 0;
  LOSSATLAS_CUDA(cudaDeviceGetAttribute(&value, which, index));
  return value;
}

}  // namespace

DeviceLimits device_limits(int index) {
  return {attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin, index), attribute(cudaDevAttrMultiProcessorCount, index),
          static_cast<double>(attribute(cudaDevAttrSingleToDoublePrecisionPerfRatio, index))};
}

}  // namespace lossatlas::cuda
