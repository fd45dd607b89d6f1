// Features, which in this chapter are the units of the last hidden layer of the network that carries a pattern: its
// hidden layers are chosen without training, so that only the last layer is solved for.
//
// The network maps h (z) to K outputs. Two designs:
//  - even: ridges of one scale at random directions and offsets, mixed at random by the layers above. Best for smooth
//    patterns.
//  - placed: the layers below the last hidden one form a bank of ridges along a few directions, in which every smooth
//    function of one coordinate d·h is a linear combination; a unit of the last hidden layer is a bump
//    φ(c − Σ_o κ_o g_o(d_o·(h − h₀))), g a well with g(x) ≈ x² near 0, of any place, width and elongation. Many are
//    proposed where the residual is large, and those that reduce it most are kept (orthogonal least squares, in
//    rounds).
#pragma once

#include <cstdint>
#include <vector>

#include <lossatlas/dataset.hpp>
#include <lossatlas/network.hpp>
#include <lossatlas/progress.hpp>

namespace lossatlas {

/// Scales of even features: slope of a first-layer ridge, and spread of the sums in the layers above.
struct EvenScale {
  double first = 2;
  double upper = 2;
};

/// θ (M) of a z → ... → K network with even hidden layers and a last layer of zeros.
std::vector<double> even_features(const Network& network, EvenScale scale, std::uint64_t seed);

struct PlacedOptions {
  double spacing = 0;           ///< distance of neighbouring pixels, the box being 1 wide
  double finest = 0;            ///< width of the finest features
  std::int64_t even_units = 0;  ///< units of the last hidden layer that stay even
  std::uint64_t seed = 0;
  int threads = 1;
  Control control = {};
};

/// θ (M) of a z → ... → K network for data with inputs h (N, z) and targets (N, K): placed hidden layers and a last
/// layer of zeros. The bits do not depend on the number of threads.
std::vector<double> placed_features(const Network& network, const Dataset& data, const PlacedOptions& options);

}  // namespace lossatlas
