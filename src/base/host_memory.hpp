// How much memory the host can still give: a system that overcommits kills the process instead of refusing.
#pragma once

#include <cstddef>

namespace lossatlas {

/// Bytes available without swapping, within this process's limits (ulimit -v and -d); 2^62 if the system does not say.
double available_host_memory();

/// Whether that many bytes are available without swapping. Always true of small amounts and if the system does not say.
bool fits_host_memory(double bytes);

/// Hints that a large block use large pages, which are handed out and taken back tens of times as fast.
void prefer_large_pages(void* memory, std::size_t bytes) noexcept;

}  // namespace lossatlas
