#include "host_memory.hpp"

#include <fstream>
#include <string>

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

}  // namespace lossatlas
