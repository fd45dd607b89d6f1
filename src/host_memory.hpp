// What the host can still give: a system that overcommits kills the process instead of refusing.
#pragma once

namespace lossatlas {

/// Whether so many bytes can be had without swapping. Small amounts, and systems that do not say, always can.
bool fits_host_memory(double bytes);

}  // namespace lossatlas
