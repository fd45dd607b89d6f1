// Losses, gradients and Gauss–Newton products on a CUDA device: cuBLAS over fixed chunks of samples, in order.
#pragma once

#include <cstdint>
#include <span>

#include <lossatlas/progress.hpp>

#include "cuda/problem.hpp"
#include "cuda/workspace.hpp"

namespace lossatlas::cuda {

/// losses (H) and accuracy (H; NaN for real targets) at θ (M). Throws Interrupted; reports no progress.
void evaluate(Workspace& workspace, const Problem& problem, std::span<const double> theta, const Control& control,
              std::span<double> losses, std::span<double> accuracy);

/// ∇R (M) averaged over samples first..last−1. Throws InvalidArgument on an empty range.
void gradient(Workspace& workspace, const Problem& problem, std::span<const double> theta, std::int64_t first,
              std::int64_t last, const Control& control, std::span<double> gradient);

/// product (M) = (1/N) Σ_n J_nᵀ (∇²ℓ_n) J_n v.
void gauss_newton_product(Workspace& workspace, const Problem& problem, std::span<const double> theta,
                          std::span<const double> v, const Control& control, std::span<double> product);

}  // namespace lossatlas::cuda
