// The least squares problem of the last layer on the CPU.
#pragma once

#include <cstdint>
#include <span>

#include <lossatlas/progress.hpp>

#include "backend/backend.hpp"
#include "cpu/gradient.hpp"

namespace lossatlas::cpu {

/// Minimises (1/N) Σ_n ‖W a(x_n) + b − y_n‖² + λ d ‖W‖² for the activations a of θ's last hidden layer; d is the mean
/// diagonal of (1/N) Σ a aᵀ, and b, if the last layer has one, is free. Targets (N, K) are those of the data set for
/// every head.
///
/// Solves the normal equations in f64 by Cholesky, then refines against the residual of the least squares problem.
/// ridge < 0 takes the smallest λ at which Cholesky is stable; each refinement then undoes part of its shrinkage
/// (iterated Tikhonov). If the normal equations lose too much and the problem is small, uses Householder QR of [Φ; √(λ
/// N d) I] instead. Throws InvalidArgument for a loss other than mean squared error, OutOfMemory, Interrupted.
LastLayer solve_last_layer(const Problem& problem, std::span<const double> theta, double ridge, const Control& control);

/// Bytes that solve_last_layer holds at once.
std::int64_t last_layer_bytes(const Problem& problem);

}  // namespace lossatlas::cpu
