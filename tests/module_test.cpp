// Files that are no CUDA module of this build are refused, and said to be.
#include <cstdlib>
#include <filesystem>
#include <string>

#include <gtest/gtest.h>
#include <lossatlas/device.hpp>
#include <lossatlas/version.hpp>

#include "expect_error.hpp"

namespace lossatlas {
namespace {

/// LOSSATLAS_CUDA_MODULE for as long as it lives.
class NamedModule {
 public:
  explicit NamedModule(const std::string& file) { setenv("LOSSATLAS_CUDA_MODULE", file.c_str(), 1); }
  ~NamedModule() { unsetenv("LOSSATLAS_CUDA_MODULE"); }
};

void expect_refusal(const std::string& file, const char* reason) {
  const NamedModule named(file);
  EXPECT_ERROR(Device::cuda(), DeviceError, reason);
}

TEST(Module, OfAnotherBuildIsRefused) {
  expect_refusal(LOSSATLAS_OTHER_VERSION, "of another build of lossatlas (0.0.0), expected version");
  expect_refusal(LOSSATLAS_OTHER_LAYOUT, "of another build of lossatlas (another layout), expected version");
}

TEST(Module, ThatIsNoneIsRefused) {
  expect_refusal("/nonexistent/module.so", "expected a file that exists");
  expect_refusal("/proc/self/maps", "on opening the CUDA module");
}

// The loader would look for it on its own path.
TEST(Module, NamedWithoutAFolderIsAFileOfThisFolder) {
  const std::filesystem::path file = LOSSATLAS_OTHER_VERSION;
  std::filesystem::current_path(file.parent_path());
  expect_refusal(file.filename(), "of another build of lossatlas (0.0.0)");
  const NamedModule named(file.filename());
  EXPECT_EQ(cuda_module_file(), file);
}

}  // namespace
}  // namespace lossatlas
