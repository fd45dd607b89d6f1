#include "host_memory.hpp"

#include <cstdint>
#include <fstream>
#include <string>

#include <sys/mman.h>

namespace lossatlas {

bool fits_host_memory(double bytes) {
  constexpr double kSmall = 0x1p26;
  if (bytes <= kSmall) return true;
  std::ifstream file("/proc/meminfo");
  std::string word;
  while (file >> word) {
    double kilobytes = 0;
    if (word == "MemAvailable:" && file >> kilobytes) return bytes <= 1024 * kilobytes;
  }
  return bytes <= 0x1p62;
}

void prefer_large_pages(void* memory, std::size_t bytes) noexcept {
  constexpr std::size_t kPage = 4096, kMany = std::size_t{1} << 22;
  if (bytes < kMany) return;
  const std::size_t skip = (kPage - reinterpret_cast<std::uintptr_t>(memory) % kPage) % kPage;
  ::madvise(static_cast<char*>(memory) + skip, (bytes - skip) / kPage * kPage, MADV_HUGEPAGE);
}

}  // namespace lossatlas
