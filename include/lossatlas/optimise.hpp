#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include <lossatlas/export.hpp>
#include <lossatlas/landscape.hpp>
#include <lossatlas/progress.hpp>

namespace lossatlas {

/// One recorded point of a trajectory.
struct OptimiserStep {
  std::int64_t iteration = 0;
  double loss = 0;
  double gradient_l1 = 0;  ///< ‖∇R‖₁
  double step_norm = 0;    ///< ‖Δθ‖₂ of the step that led here
};

/// When an optimiser stops, and what it reports.
/// @snippet api/networks.cpp optimise
struct StoppingRule {
  std::int64_t iterations = 1000;
  double gradient_l1 = 0;         ///< ends once ‖∇R‖₁ ≤ this
  double loss = -1;               ///< ends once R ≤ this
  std::int64_t record_every = 0;  ///< steps between recorded points; 0: first and last only
  /// Called for every recorded point; returning false ends the run.
  std::function<bool(const OptimiserStep& step, std::span<const double> theta)> callback = {};
  Control control = {};
};

/// Why an optimiser stopped.
enum class StopReason : std::uint8_t { iterations, gradient, loss, callback, stalled, diverged };
/// The name of the enumerator.
LOSSATLAS_API const char* name(StopReason reason);

/// Where an optimiser ended.
struct OptimiserResult {
  std::vector<double> theta;  ///< (M)
  double loss = 0;
  double gradient_l1 = 0;
  double gradient_max = 0;
  std::int64_t iterations = 0;
  StopReason reason = StopReason::iterations;
  std::vector<OptimiserStep> trajectory;
};

/// θ ← θ − rate·∇R over the whole data set.
struct GradientDescent {
  double rate = 0.005;
};
/// Adam (Kingma & Ba 2015) over the whole data set.
struct Adam {
  double rate = 0.02;
  double mean_decay = 0.9;
  double square_decay = 0.999;
  double epsilon = 1e-8;
};
/// Damped Gauss–Newton: solves (G + μ diag G) d = −∇R by Cholesky of the full matrix. For networks of some thousand
/// parameters.
struct LevenbergMarquardt {
  double damping = 1e-3;
};
/// Newton's method towards the nearest critical point, saddles and degenerate points included; it does not prefer
/// minima. The step is d = −Σ (v·∇R) v λ/(λ² + μ) over the eigenpairs (λ, v) of H with |λ| > truncation·‖H‖₂, with μ =
/// (κ‖∇R‖₂)² and κ adapted from step to step so that ‖∇R‖₂ decreases. Where H is far from singular, μ is dropped: a
/// step of the pseudo-inverse. Near a manifold of critical points on which H is regular in all other directions,
/// convergence is quadratic and ends close by; where manifolds cross, each step only halves the error.
struct Newton {
  double truncation = 1e-12;
};

/// Runs `method` from θ (M). Reports progress in iterations, stage "optimise", and nothing else. Throws InvalidArgument
/// for a θ of the wrong size or not finite and for a bad option; for Newton on the CPU also for more than 32766
/// parameters, as it needs eigenvectors.
/// @snippet api/networks.cpp optimise
LOSSATLAS_API OptimiserResult optimise(const Landscape& landscape, std::span<const double> theta,
                                       const GradientDescent& method, const StoppingRule& rule);
/// The same by Adam.
LOSSATLAS_API OptimiserResult optimise(const Landscape& landscape, std::span<const double> theta, const Adam& method,
                                       const StoppingRule& rule);
/// The same by Levenberg and Marquardt.
LOSSATLAS_API OptimiserResult optimise(const Landscape& landscape, std::span<const double> theta,
                                       const LevenbergMarquardt& method, const StoppingRule& rule);
/// The same by Newton's method.
LOSSATLAS_API OptimiserResult optimise(const Landscape& landscape, std::span<const double> theta, const Newton& method,
                                       const StoppingRule& rule);

}  // namespace lossatlas
