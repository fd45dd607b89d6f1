#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include <lossatlas/export.hpp>
#include <lossatlas/network.hpp>

namespace lossatlas {

/// An affine map α ↦ θ₀ + Σ αᵢ θᵢ from R^z into parameter space.
struct LOSSATLAS_API Section {
  std::vector<double> origin;      ///< θ₀ (M)
  std::vector<double> directions;  ///< θᵢ (z, M) row-major
  /// (z, M) or empty: the exact parameters at α = eᵢ, where θ₀ + θᵢ would round.
  std::vector<double> ends = {};

  std::int64_t parameters() const { return static_cast<std::int64_t>(origin.size()); }  ///< M
  std::int64_t rank() const;                                                            ///< z
  std::span<const double> direction(std::int64_t i) const;
  /// θ(α) (M). Exactly θ₀ at α = 0 and exactly ends[i] at α = eᵢ when given. Throws InvalidArgument on a wrong size.
  std::vector<double> at(std::span<const double> alpha) const;
};

/// The section with origin θ₀ (M) and directions (z, M), checked: sizes, finiteness, z ≥ 1.
/// @snippet api/sections.cpp directions
LOSSATLAS_API Section make_section(const Network& network, std::vector<double> origin, std::vector<double> directions);
/// The line from a (α = 0) to b (α = 1).
/// @snippet api/sections.cpp through points
LOSSATLAS_API Section line_section(const Network& network, std::span<const double> a, std::span<const double> b);
/// The plane through a (0,0), b (1,0) and c (0,1).
/// @snippet api/sections.cpp through points
LOSSATLAS_API Section plane_section(const Network& network, std::span<const double> a, std::span<const double> b,
                                    std::span<const double> c);

/// What scales a random direction: nothing, each layer, or each filter, that is each row of W ([Li et al. 2018]).
enum class Normalisation : std::uint8_t { none, layer, filter };
/// Biases of a random direction: zero; a copy of θ's own bias; or random, scaled to the norm of θ's bias.
enum class BiasDirection : std::uint8_t { zero, copy, scaled };

/// Options of random_directions().
struct RandomDirectionOptions {
  std::int64_t count = 2;  ///< z
  std::uint64_t seed = 0;
  Normalisation normalisation = Normalisation::filter;
  BiasDirection bias = BiasDirection::zero;
};

/// z independent Gaussian directions (z, M) at θ: d ← d·‖w‖/‖d‖ for each filter or layer of θ ([Li et al. 2018],
/// section 4). A filter with ‖w‖ = 0 gets a zero direction.
/// @snippet api/sections.cpp directions
LOSSATLAS_API std::vector<double> random_directions(const Network& network, std::span<const double> theta,
                                                    RandomDirectionOptions options = {});

/// Cosines between the directions (z, z); off the diagonal, 0 for a zero direction.
/// @snippet api/sections.cpp directions
LOSSATLAS_API std::vector<double> direction_cosines(const Section& section);
/// The same origin with the directions made orthogonal in order (Gram–Schmidt, twice); each keeps its length. Throws
/// InvalidArgument if they are linearly dependent.
/// @snippet api/sections.cpp directions
LOSSATLAS_API Section orthogonalised(const Section& section);

}  // namespace lossatlas
