// What the cores and the memory do at most.
#pragma once

#include <lossatlas/rates.hpp>

namespace lossatlas::cpu {

/// measure_rates() on `threads` threads. Throws std::bad_alloc.
DeviceRates measure_rates(Precision precision, int threads, const Control& control);

/// Bytes that it takes at most.
double rates_bytes(int threads);

}  // namespace lossatlas::cpu
