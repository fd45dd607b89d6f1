#pragma once

namespace lossatlas {

/// What a device can do in one second at most, in one precision. SectionCost::floor_seconds() turns it into a time.
struct DeviceRates {
  double flop = 0;            ///< in products; a multiply-add is 2 FLOP
  double transcendental = 0;  ///< transcendental functions, each charged as tanh
  double bytes = 0;           ///< read plus written, by copies that fit no cache
  /// True if products and transcendental functions run at the same time, in separate units, as on a GPU. On a CPU they
  /// take turns.
  bool overlap = false;
};

}  // namespace lossatlas
