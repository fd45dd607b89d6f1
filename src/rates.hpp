// How long counted work takes at least, in words.
#pragma once

#include <string>

#include <lossatlas/landscape.hpp>
#include <lossatlas/rates.hpp>

namespace lossatlas {

/// "41.2 ms", from a second on in seconds.
std::string time_text(double seconds);

/// "41.2 ms (products 30 ms at 210 GFLOP/s + special functions 11.2 ms at 1.9 G/s, or bytes 3 ms at 21 GB/s)".
std::string floor_text(const SectionCost& cost, const DeviceRates& rates);

}  // namespace lossatlas
