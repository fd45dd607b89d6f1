// What the host can still give: a system that overcommits kills the process instead of refusing.
#pragma once

#include <cstddef>

namespace lossatlas {

/// Bytes that can be had without swapping, within the limits set on this process (ulimit -v and -d); 2^62 where the
/// system does not say.
double available_host_memory();

/// Whether so many bytes can be had without swapping. Small amounts, and systems that do not say, always can.
bool fits_host_memory(double bytes);

/// Asks for large pages where `bytes` are many: they are handed out and taken back tens of times as fast. A wish.
void prefer_large_pages(void* memory, std::size_t bytes) noexcept;

}  // namespace lossatlas
