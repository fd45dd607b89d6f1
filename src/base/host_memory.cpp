#include "base/host_memory.hpp"

#include <algorithm>
#include <cstdint>
#include <fstream>
#include <limits>
#include <optional>
#include <string>
#include <string_view>

#include <sys/mman.h>
#include <sys/resource.h>

namespace lossatlas {

namespace {

/// Looks up a name in a file of lines "Name: 123 kB"; returns bytes.
std::optional<double> bytes_of(const char* file, std::string_view name) {
  std::ifstream stream(file);
  std::string word;
  while (stream >> word) {
    double kilobytes = 0;
    if (word == name && stream >> kilobytes) return 1024 * kilobytes;
  }
  return std::nullopt;
}

/// Bytes left under a resource limit of this process; `used` names the entry of /proc/self/status that is in use.
double left_of(int resource, std::string_view used) {
  rlimit limit{};
  if (::getrlimit(static_cast<__rlimit_resource>(resource), &limit) != 0 || limit.rlim_cur == RLIM_INFINITY)
    return std::numeric_limits<double>::infinity();
  return std::max(0.0, static_cast<double>(limit.rlim_cur) - bytes_of("/proc/self/status", used).value_or(0));
}

}  // namespace

double available_host_memory() {
  return std::min({bytes_of("/proc/meminfo", "MemAvailable:").value_or(0x1p62), left_of(RLIMIT_AS, "VmSize:"),
                   left_of(RLIMIT_DATA, "VmData:")});
}

bool fits_host_memory(double bytes) {
  constexpr double kSmall = 0x1p26;
  return bytes <= kSmall || bytes <= available_host_memory();
}

void prefer_large_pages(void* memory, std::size_t bytes) noexcept {
  constexpr std::size_t kPage = 4096, kMany = std::size_t{1} << 22;
  if (bytes < kMany) return;
  const std::size_t skip = (kPage - reinterpret_cast<std::uintptr_t>(memory) % kPage) % kPage;
  ::madvise(static_cast<char*>(memory) + skip, (bytes - skip) / kPage * kPage, MADV_HUGEPAGE);
}

}  // namespace lossatlas
