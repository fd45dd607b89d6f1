#pragma once

#include <cstdint>

#include <lossatlas/device_rates.hpp>
#include <lossatlas/export.hpp>
#include <lossatlas/precision.hpp>

namespace lossatlas {

/// The cost of evaluating a section, as its plan counts it.
/// @snippet api/sections.cpp cost
struct LOSSATLAS_API SectionCost {
  double flop = 0;             ///< multiply-adds count 2
  double transcendental = 0;   ///< tanh, exponentials, logarithms and the like
  double bytes = 0;            ///< read and written at least once, inputs and parameters included
  std::int64_t workspace = 0;  ///< bytes held besides the data, before the first point runs
  /// The precision actually used: f64 if the section is an exact quadratic form; f32 for `fast` where no half-precision
  /// kernel takes the layers, as on a CPU, with Plan::direct, and if the outputs depend on no sample.
  Precision precision = Precision::f64;

  /// Lower bound on the time at these rates (measured in `precision`): max(compute, bytes / bandwidth). Compute is the
  /// time for products plus that for transcendental functions or, if they overlap, the longer of the two. Approximate,
  /// since exp and log are charged as tanh. Throws InvalidArgument unless the rates are positive.
  double floor_seconds(const DeviceRates& rates) const;
};

}  // namespace lossatlas
