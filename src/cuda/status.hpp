// Status codes of the CUDA runtime and its libraries, made into exceptions.
#pragma once

#include <cublas_v2.h>
#include <cuda_runtime_api.h>
#include <cusolverDn.h>

namespace lossatlas::cuda {

/// Throw unless the call succeeded: OutOfMemory where device memory ran out, DeviceError with the call, its place and
/// its status otherwise. As the error of what a launch put on the device shows at a later call, the message also names
/// this thread's last launch, of a kernel or of a library's routine.
void check(cudaError_t status, const char* call, const char* file, int line);
void check(cublasStatus_t status, const char* call, const char* file, int line);
void check(cusolverStatus_t status, const char* call, const char* file, int line);

}  // namespace lossatlas::cuda

/// Every call that returns a status goes through here.
#define LOSSATLAS_CUDA(call) ::lossatlas::cuda::check((call), #call, __FILE__, __LINE__)
