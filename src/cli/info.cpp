// lossatlas info: what this build and this machine offer.
#include <cstdio>
#include <memory>

#include "commands.hpp"
#include "common.hpp"
#include "report.hpp"

namespace lossatlas::cli {
namespace {

void info(bool json) {
  const Device best = Device::best();
  const bool gpu = best.kind() == Device::Kind::cuda;
  const std::string cuda = gpu ? best.describe() : best.reason();
  const std::string host = Device::cpu().describe();
  if (json) {
    print({{"version", version()},
           {"cpu", host},
           {"simd", simd_target()},
           {"blas", blas_library()},
           {"cuda", {{"available", gpu}, {gpu ? "device" : "reason", cuda}}}});
    return;
  }
  std::printf("lossatlas  %s\n", version());
  std::printf("cpu        %s\n", host.c_str());
  std::printf("simd       %s\n", simd_target());
  std::printf("blas       %s\n", blas_library().c_str());
  std::printf("cuda       %s\n", cuda.c_str());
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
