#pragma once

#include <cstdint>

#include <lossatlas/device_rates.hpp>
#include <lossatlas/export.hpp>
#include <lossatlas/precision.hpp>

namespace lossatlas {

/// What evaluating a section takes, as its plan counts it.
struct LOSSATLAS_API SectionCost {
  double flop = 0;             ///< multiply-adds count 2
  double special = 0;          ///< tanh, exponentials, logarithms and the like
  double bytes = 0;            ///< read and written at least once, inputs and parameters included
  std::int64_t workspace = 0;  ///< bytes held besides the data, before the first point runs
  /// That computes, unless layers do not fit the kernels in half precision: f64 where the section is an exact quadratic
  /// form; f32 for `fast` on a CPU, with Plan::direct, and where the outputs depend on no sample.
  Precision precision = Precision::f64;

  /// What an evaluation on a device with such rates (of that precision) takes at best, or about that, as exponentials
  /// and logarithms count as tanh: the longer of what is computed and of bytes / (bytes a second), where FLOP / (FLOP a
  /// second) and special functions / (those a second) add up, or with units of their own only the longer counts. Throws
  /// InvalidArgument unless the rates are positive.
  double floor_seconds(const DeviceRates& rates) const;
};

}  // namespace lossatlas
