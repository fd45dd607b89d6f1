// lossatlas info: what this build and this machine offer.
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "commands.hpp"
#include "common.hpp"
#include "report.hpp"

namespace lossatlas::cli {
namespace {

/// Every GPU in words, or why there is none.
struct Gpus {
  std::vector<std::string> devices;
  std::string missing;
};

Gpus find_gpus() {
  Gpus gpus;
  try {
    for (int index = 0;; ++index) gpus.devices.push_back(Device::cuda({.index = index}).describe());
  } catch (const DeviceError& error) {
    if (gpus.devices.empty()) gpus.missing = error.what();
  }
  return gpus;
}

void info(bool json) {
  const Gpus gpus = find_gpus();
  const std::string host = Device::cpu().describe(), module = cuda_module_file();
  if (json) {
    print({{"version", version()},
           {"cpu", host},
           {"simd", simd_target()},
           {"blas", blas_library()},
           {"libraries", other_libraries()},
           {"cuda", {{"module", module}, {"devices", gpus.devices}, {"missing", gpus.missing}}}});
    return;
  }
  print_line("lossatlas  %s", version());
  print_line("cpu        %s", host.c_str());
  print_line("simd       %s", simd_target());
  print_line("blas       %s", blas_library().c_str());
  print_line("libraries  %s", other_libraries().c_str());
  print_line("module     %s", module.empty() ? "no CUDA module" : module.c_str());
  for (const std::string& device : gpus.devices) print_line("cuda       %s", device.c_str());
  if (gpus.devices.empty()) print_line("cuda       %s", gpus.missing.c_str());
}

}  // namespace

void add_info(CLI::App& program, Command& chosen) {
  auto* command = program.add_subcommand("info", "Version, devices, SIMD target and libraries");
  auto json = std::make_shared<bool>(false);
  command->add_flag("--json", *json, "Print JSON");
  command->footer("Examples:\n  lossatlas info\n  lossatlas info --json\n");
  command->callback([json, &chosen] { chosen = [json](Session&) { info(*json); }; });
}

}  // namespace lossatlas::cli
