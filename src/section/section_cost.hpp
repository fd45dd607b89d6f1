// Counted work in words, and the least time it takes.
#pragma once

#include <string>

#include <lossatlas/section_cost.hpp>

namespace lossatlas {

/// "12.3 GFLOP": three digits and a prefix.
std::string quantity(double value, const char* unit);

/// "41.2 ms"; in seconds from one second on.
std::string time_text(double seconds);

/// "41.2 ms (products 30 ms at 210 GFLOP/s + transcendental functions 11.2 ms at 1.9 G/s, or bytes 3 ms at 21 GB/s)".
std::string floor_text(const SectionCost& cost, const DeviceRates& rates);

}  // namespace lossatlas
