// Losses, gradients and Gauss–Newton products on the CPU: BLAS products over fixed chunks of samples, chunks in
// parallel, partial results added in an order that depends on the problem only.
#pragma once

#include <cstdint>
#include <span>

#include <lossatlas/progress.hpp>

#include "cpu/pass.hpp"
#include "cpu/problem.hpp"
#include "linalg/blas.hpp"

namespace lossatlas::cpu {

/// losses (H) and accuracy (H) at θ (M). A sample is right if its first largest output is the label, and wrong if an
/// output of the head is NaN; the accuracy is NaN for real targets. This and the next two functions report progress in
/// samples and throw Interrupted between layers.
void evaluate(const Problem& problem, std::span<const double> theta, const Control& control, std::span<double> losses,
              std::span<double> accuracy);

/// ∇R (M) averaged over samples first..last−1. Throws InvalidArgument on an empty range or a wrong size.
void gradient(const Problem& problem, std::span<const double> theta, std::int64_t first, std::int64_t last,
              const Control& control, std::span<double> gradient);

/// product (M) = (1/N) Σ_n J_nᵀ (∇²ℓ_n) J_n v.
void gauss_newton_product(const Problem& problem, std::span<const double> theta, std::span<const double> v,
                          const Control& control, std::span<double> product);

/// Units of the last hidden layer (or inputs, if there is none).
std::int64_t last_hidden_width(const Network& network);

/// Writes activations (rows, F) of the last hidden layer for samples first..first+rows−1, computed by the layers of
/// `pass` below the last.
void last_hidden_values(ForwardPass& pass, const Network& network, std::int64_t first, std::int64_t rows, Matrix to);

/// Bytes that evaluate() and that gradient() or gauss_newton_product() hold at once.
std::int64_t evaluate_bytes(const Problem& problem);
std::int64_t gradient_bytes(const Problem& problem);

}  // namespace lossatlas::cpu
