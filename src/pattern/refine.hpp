// Gradient methods for the network that carries a pattern: least squares over all of its parameters.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include <lossatlas/network.hpp>
#include <lossatlas/progress.hpp>

#include "backend/backend.hpp"

namespace lossatlas {

/// A regression problem on its device: the network, its mean squared error R, and the data it was made from.
struct Regression {
  const Network& network;
  const Dataset& data;
  const DeviceLandscape& landscape;

  double loss(std::span<const double> theta, const Control& control) const;
};

struct RefineOptions {
  std::int64_t iterations = 12;
  Control control = {};
  /// Called with every accepted θ (M).
  std::function<void(std::span<const double> theta)> accepted = {};
};

/// Levenberg–Marquardt: (G + μ P) d = −∇R by conjugate gradients preconditioned with P, where G is the Gauss–Newton
/// matrix and P its Kronecker-factored approximation (inputs' second moments times units' mean square slopes, per
/// layer). A step is taken only if R falls. Returns the last accepted θ.
std::vector<double> levenberg_marquardt(const Regression& regression, std::vector<double> theta,
                                        const RefineOptions& options);

struct AdamOptions {
  std::int64_t iterations = 4000;
  std::int64_t batch = 1024;
  double rate = 3e-3;  ///< falls to 0 along a cosine
  std::int64_t reports = 20;
  Control control = {};
  std::function<void(std::span<const double> theta)> reported = {};  ///< called with θ about `reports` times
};

/// Adam (Kingma & Ba 2015) on minibatches of consecutive samples; the caller has shuffled them.
std::vector<double> adam(const Regression& regression, std::vector<double> theta, const AdamOptions& options);

}  // namespace lossatlas
