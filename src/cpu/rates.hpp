// Peak rates of the cores and the memory.
#pragma once

#include <lossatlas/rates.hpp>

namespace lossatlas::cpu {

/// measure_rates() with `threads` threads. Throws std::bad_alloc.
DeviceRates measure_rates(Precision precision, int threads, const Control& control);

/// Upper bound on the bytes that it needs.
double rates_bytes(int threads);

}  // namespace lossatlas::cpu
