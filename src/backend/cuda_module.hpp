// The CUDA module: liblossatlas_cuda.so, opened on the first use of a CUDA device. This header is the whole contract.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "backend/backend.hpp"
#include "backend_abi.hpp"  // kBoundaryHash, made by the build from the headers that this one reaches
#include "section/graph_plan.hpp"

namespace lossatlas {

/// What the library and the module have to agree on: their headers and, as other compilers or standard libraries lay
/// the same structs out differently, some sizes.
inline constexpr std::uint64_t kBackendAbi = kBoundaryHash + (sizeof(SectionPlan) << 8) + (sizeof(ChainLayer) << 20) +
                                             (sizeof(Control) << 32) + (sizeof(LastLayer) << 44) +
                                             (sizeof(Dataset) << 52) + (sizeof(Network) << 56) +
                                             (sizeof(Spectrum) << 27) + (sizeof(GraphPlan) << 36);

/// What the module hands out. Calls throw the library's exceptions.
struct CudaModule {
  std::uint64_t abi = 0;          ///< kBackendAbi at the module's build; read first
  const char* version = nullptr;  ///< version() of the library it was built with
  /// Number of the driver's devices; throws DeviceError if the driver or a GPU is missing.
  int (*device_count)() = nullptr;
  /// Such as "cuda 0, NVIDIA H200, sm_90, 139.7 GiB, driver 13.0, runtime 13.0".
  std::string (*describe)(int index) = nullptr;
  std::shared_ptr<const Backend> (*make_backend)(int index, void* stream) = nullptr;
};

/// The name of the module's one exported symbol, of type CudaModuleEntry.
inline constexpr const char* kCudaModuleSymbol = "lossatlas_cuda_module";
using CudaModuleEntry = const CudaModule* (*)();

/// The module beside this library, or the file named by LOSSATLAS_CUDA_MODULE; opened once and kept. Throws DeviceError
/// saying whether the module or the driver is missing, or which versions disagree.
const CudaModule& cuda_module();

}  // namespace lossatlas
