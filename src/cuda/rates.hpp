// Peak rates of a CUDA device.
#pragma once

#include <lossatlas/rates.hpp>

#include "cuda/workspace.hpp"

namespace lossatlas::cuda {

/// measure_rates() on the current device. Throws OutOfMemory.
DeviceRates measure_rates(Workspace& workspace, Precision precision, const Control& control);

}  // namespace lossatlas::cuda
