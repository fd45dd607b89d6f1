#include "cuda/status.hpp"

#include <algorithm>
#include <array>
#include <string>
#include <string_view>

#include <lossatlas/error.hpp>

#include "base/check.hpp"

namespace lossatlas::cuda {
namespace {

thread_local const char* last_launch = nullptr;

/// For example "kernels::launch_dense" for "kernels::launch_dense(batch, stream)".
std::string_view name_of(std::string_view call) { return call.substr(0, call.find_first_of("(<")); }

std::string_view file_name(std::string_view path) { return path.substr(path.rfind('/') + 1); }

std::string describe(std::string_view call, const char* file, int line, std::string_view status) {
  return message("cuda", "received \"", status, "\" from ", name_of(call), " (", file_name(file), ":", line,
                 "), expected success");
}

[[noreturn]] void throw_out_of_memory(std::string_view call, const char* file, int line) {
  throw OutOfMemory(describe(call, file, line, "out of memory") + "; free memory of the device", 0);
}

[[noreturn]] void throw_device_error(std::string_view call, const char* file, int line, std::string_view status) {
  std::string text = describe(call, file, line, status);
  if (last_launch != nullptr) text += "; launched before it was " + std::string(name_of(last_launch));
  throw DeviceError(text);
}

/// True for cublasDgemm, for example; false for cublasCreate and cusolverDnXpotrf_bufferSize.
bool puts_work_on_device(std::string_view call) {
  const std::string_view name = name_of(call);
  if (name.starts_with("cuda")) return false;
  return std::ranges::none_of(std::array{"Create", "Set", "_bufferSize"},
                              [&](std::string_view part) { return name.find(part) != std::string_view::npos; });
}

/// Otherwise the next launch would report the status of the failed call again.
void forget_status() { cudaGetLastError(); }

void note_success(const char* call) {
  if (puts_work_on_device(call)) last_launch = call;
}

}  // namespace

void check(cudaError_t status, const char* call, const char* file, int line) {
  if (status == cudaSuccess) return note_success(call);
  forget_status();
  if (status == cudaErrorMemoryAllocation) throw_out_of_memory(call, file, line);
  throw_device_error(call, file, line, cudaGetErrorString(status));
}

void check(cublasStatus_t status, const char* call, const char* file, int line) {
  if (status == CUBLAS_STATUS_SUCCESS) return note_success(call);
  forget_status();
  if (status == CUBLAS_STATUS_ALLOC_FAILED) throw_out_of_memory(call, file, line);
  throw_device_error(call, file, line, cublasGetStatusName(status));
}

void check(cusolverStatus_t status, const char* call, const char* file, int line) {
  if (status == CUSOLVER_STATUS_SUCCESS) return note_success(call);
  forget_status();
  if (status == CUSOLVER_STATUS_ALLOC_FAILED) throw_out_of_memory(call, file, line);
  throw_device_error(call, file, line, "cuSOLVER status " + std::to_string(static_cast<int>(status)));
}

}  // namespace lossatlas::cuda
