// Turns status codes of the CUDA runtime and its libraries into exceptions.
#pragma once

#include <cublas_v2.h>
#include <cuda_runtime_api.h>
#include <cusolverDn.h>

namespace lossatlas::cuda {

/// Throw unless the call succeeded: OutOfMemory if device memory ran out, otherwise DeviceError with the call, its
/// place and its status. An error on the device shows only at a later call, so the message also names this thread's
/// last launch, of a kernel or of a library routine.
void check(cudaError_t status, const char* call, const char* file, int line);
void check(cublasStatus_t status, const char* call, const char* file, int line);
void check(cusolverStatus_t status, const char* call, const char* file, int line);

}  // namespace lossatlas::cuda

/// Every call that returns a status goes through here.
#define LOSSATLAS_CUDA(call) ::lossatlas::cuda::check((call), #call, __FILE__, __LINE__)
