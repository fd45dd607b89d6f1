#include "backend/cuda_module.hpp"

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <mutex>
#include <string>
#include <system_error>

#include <dlfcn.h>

#include <lossatlas/version.hpp>

#include "base/check.hpp"

namespace lossatlas {
namespace {

constexpr const char* kFileName = "liblossatlas_cuda.so";
constexpr const char* kVariable = "LOSSATLAS_CUDA_MODULE";
constexpr const char* kAdvice = "; use Device::cpu()";

/// The value of LOSSATLAS_CUDA_MODULE, if it has one.
const char* named_module() {
  const char* named = std::getenv(kVariable);
  return named != nullptr && *named != '\0' ? named : nullptr;
}

/// The module beside the file that holds this function.
std::filesystem::path file_beside_library() {
  Dl_info info{};
  if (dladdr(reinterpret_cast<const void*>(&cuda_module), &info) == 0 || info.dli_fname == nullptr) return kFileName;
  return std::filesystem::path(info.dli_fname).parent_path() / kFileName;
}

/// An absolute path: dlopen() would search elsewhere for a name without a slash.
std::filesystem::path module_file() {
  std::error_code ignored;
  return named_module() ? std::filesystem::absolute(named_module(), ignored) : file_beside_library();
}

bool is_there(const std::filesystem::path& file) {
  std::error_code ignored;
  return std::filesystem::exists(file, ignored);
}

/// Checks for the driver before the module is opened, which takes seconds.
void require_driver() {
  void* driver = dlopen("libcuda.so.1", RTLD_LAZY | RTLD_LOCAL);
  require<DeviceError>(driver != nullptr, "Device::cuda",
                       "found no NVIDIA driver (libcuda.so.1), expected one; install it", kAdvice);
  dlclose(driver);
}

const CudaModule& open_module(const std::filesystem::path& file) {
  void* library = dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    throw DeviceError(message("Device::cuda", "received \"", dlerror(),
                              "\" on opening the CUDA module, expected it and "
                              "the CUDA libraries it needs to load; install them",
                              kAdvice));
  }
  const auto entry = reinterpret_cast<CudaModuleEntry>(dlsym(library, kCudaModuleSymbol));
  require<DeviceError>(entry != nullptr, "Device::cuda", "received ", file, " without the symbol ", kCudaModuleSymbol,
                       ", expected the CUDA module of lossatlas; check ", kVariable);
  const CudaModule* module = entry();
  const bool fits = module->abi == kBackendAbi && std::strcmp(module->version, version()) == 0;
  require<DeviceError>(fits, "Device::cuda", "received the CUDA module ", file, " of another build of lossatlas (",
                       module->abi == kBackendAbi ? module->version : "another layout", "), expected version ",
                       version(), "; install both from one build");
  return *module;
}

const CudaModule& find_module() {
  const std::filesystem::path file = module_file();
  if (const char* named = named_module()) {
    require<DeviceError>(is_there(file), "Device::cuda", "received ", kVariable, "=", named,
                         ", expected a file that exists");
    return open_module(file);
  }
  require<DeviceError>(is_there(file), "Device::cuda", "found no CUDA module (", file.string(),
                       "), expected it beside the library; build lossatlas with CUDA", kAdvice);
  require_driver();
  return open_module(file);
}

}  // namespace

const CudaModule& cuda_module() {
  static std::mutex mutex;
  static const CudaModule* module = nullptr;
  const std::lock_guard lock(mutex);
  if (module == nullptr) module = &find_module();
  return *module;
}

std::string cuda_module_file() {
  const std::filesystem::path file = module_file();
  return is_there(file) ? file.string() : "";
}

}  // namespace lossatlas
