#pragma once

#include <lossatlas/device.hpp>
#include <lossatlas/device_rates.hpp>
#include <lossatlas/export.hpp>
#include <lossatlas/precision.hpp>
#include <lossatlas/progress.hpp>

namespace lossatlas {

/// Measures the device now, in about a fifth of a second; each rate is the best of several runs. Other work on the
/// device lowers the result.
///
/// On a CPU, with all of the device's threads: multiply-adds in registers, the library's own tanh on values in the
/// first-level cache, and copies between arrays of 64 MiB per thread (at most 2 GiB in all); `fast` as f32. On CUDA:
/// products by the instructions of the section kernels (f64: fp64 tensor cores; f32: three TF32 products for one; fast:
/// half precision), or by ordinary multiply-adds where those are faster; the kernels' own tanh; copies of up to 1 GiB.
/// Heeds a requested stop between the three and reports no progress. Throws DeviceError, and OutOfMemory with the bytes
/// of the copies.
/// @snippet api/sections.cpp cost
LOSSATLAS_API DeviceRates measure_rates(const Device& device, Precision precision, const Control& control = {});

}  // namespace lossatlas
