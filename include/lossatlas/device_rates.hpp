#pragma once

namespace lossatlas {

/// What a device does at most in a second, in one precision. SectionCost::floor_seconds() makes a time of it.
struct DeviceRates {
  double flop = 0;     ///< of products: multiply-adds, 2 FLOP each
  double special = 0;  ///< special functions, all counted as tanh
  double bytes = 0;    ///< read and written by copies that no cache holds
  /// Products and special functions at the same time, in units of their own, as on a GPU; on a CPU they take turns.
  bool overlap = false;
};

}  // namespace lossatlas
