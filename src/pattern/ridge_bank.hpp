// The layers below the last hidden one as a bank of ridge functions, and wells as linear combinations of them.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include <lossatlas/network.hpp>

namespace lossatlas {

/// Ridges along a few directions of the box [0, 1]^z: carrier unit j of direction o is a function of d_o·h alone. The
/// hidden layers between the first and the last pass carriers on, unit j to unit j.
class RidgeBank {
 public:
  /// Writes the layers below the last hidden one of `network` into theta (M).
  RidgeBank(const Network& network, std::span<double> theta);

  /// Number of units that the last hidden layer reads.
  std::int64_t width() const { return width_; }
  std::int64_t directions() const { return static_cast<std::int64_t>(fans_.size()); }
  /// Whether there are enough carriers for wells.
  bool usable() const { return usable_; }
  /// Subtracts curvature[o]·g(d_o·(h − centre)) for every direction o from a unit with weights (width) and a bias.
  void subtract_wells(std::span<const double> centre, std::span<const double> curvature, std::span<double> weights,
                      double& bias) const;

 private:
  /// The carriers of one direction.
  struct Fan {
    std::vector<double> direction;  // (z), of length 1
    std::int64_t first = 0;         // carrier units first..first+count−1
    std::int64_t count = 0;
    double lo = 0, hi = 0;      // range of d·h over the box
    double spacing = 0;         // of the knots
    std::vector<double> wells;  // (kCentres, count + 1): coefficients of a well at each centre, its constant last
  };

  void lay_first_layer(const Network& network, std::span<double> theta);
  void lay_passing_layers(const Network& network, std::span<double> theta) const;
  void solve_wells(const Network& network, std::span<const double> theta, Fan& fan) const;

  std::int64_t width_ = 0;
  std::int64_t carriers_ = 0;
  bool usable_ = false;
  std::vector<Fan> fans_;
};

}  // namespace lossatlas
