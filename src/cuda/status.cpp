#include "cuda/status.hpp"

#include <string>
#include <string_view>

#include <lossatlas/error.hpp>

#include "check.hpp"

namespace lossatlas::cuda {
namespace {

constexpr std::string_view kLaunch = "kernels::launch_";

thread_local const char* last_launch = nullptr;

/// "launch_dense" of "kernels::launch_dense(batch, stream)".
std::string_view name_of(std::string_view call) { return call.substr(0, call.find_first_of("(<")); }

std::string_view file_name(std::string_view path) { return path.substr(path.rfind('/') + 1); }

std::string describe(std::string_view call, const char* file, int line, std::string_view status) {
  return message("cuda", "received \"", status, "\" from ", name_of(call), " (", file_name(file), ":", line,
                 "), expected success");
}

[[noreturn]] void throw_out_of_memory(std::string_view call, const char* file, int line) {
  throw OutOfMemory(describe(call, file, line, "out of memory") + "; free memory of the device", 0);
}

}  // namespace

void check(cudaError_t status, const char* call, const char* file, int line) {
  const char* before = last_launch;
  if (status == cudaSuccess) {
    if (std::string_view(call).starts_with(kLaunch)) last_launch = call;
    return;
  }
  cudaGetLastError();  // a failed call's status would be reported again by the next launch
  if (status == cudaErrorMemoryAllocation) throw_out_of_memory(call, file, line);
  std::string text = describe(call, file, line, cudaGetErrorString(status));
  if (before != nullptr) text += "; the kernel launched before it was " + std::string(name_of(before));
  throw DeviceError(text);
}

void check(cublasStatus_t status, const char* call, const char* file, int line) {
  if (status == CUBLAS_STATUS_SUCCESS) return;
  cudaGetLastError();
  if (status == CUBLAS_STATUS_ALLOC_FAILED) throw_out_of_memory(call, file, line);
  throw DeviceError(describe(call, file, line, cublasGetStatusName(status)));
}

void check(cusolverStatus_t status, const char* call, const char* file, int line) {
  if (status == CUSOLVER_STATUS_SUCCESS) return;
  cudaGetLastError();
  if (status == CUSOLVER_STATUS_ALLOC_FAILED) throw_out_of_memory(call, file, line);
  throw DeviceError(describe(call, file, line, "cuSOLVER status " + std::to_string(static_cast<int>(status))));
}

}  // namespace lossatlas::cuda
