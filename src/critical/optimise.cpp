#include <lossatlas/optimise.hpp>

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>

#include <lossatlas/hessian.hpp>
#include <lossatlas/spectrum.hpp>

#include "base/check.hpp"
#include "base/parallel.hpp"
#include "base/vectors.hpp"
#include "curvature/hessian_matrix.hpp"
#include "curvature/spectrum.hpp"
#include "linalg/cholesky.hpp"

namespace lossatlas {
namespace {

constexpr double kMostDamping = 1e16, kLeastDamping = 1e-15;
constexpr double kDiagonalFloor = 1e-15;  // of diag G, relative to its largest entry
// Newton: fractions of the decrease of ‖∇R‖₂² that the linear model predicts.
constexpr double kSufficient = 1e-4;                  // that a step must reach
constexpr double kPoorModel = 0.1, kGoodModel = 0.4;  // below and above which κ grows and shrinks
constexpr double kFirstKappa = 0.1, kLeastKappa = 1e-6, kGrowth = 2;
constexpr double kSimilar = 2;  // ratio of lengths up to which the step without μ is preferred
constexpr int kAttempts = 60;
constexpr std::int64_t kProgressEvents = 256;  // in one run

/// Where a run stands. A step sets every member, the loss only if the method needs it.
struct Point {
  std::vector<double> theta;
  std::vector<double> gradient;
  std::optional<double> loss;
  double step_norm = 0;
};

void move_to(const Landscape& landscape, std::vector<double> theta, double step_norm, const Control& control,
             Point& point) {
  point.theta = std::move(theta);
  point.gradient = landscape.gradient(point.theta, {{}, control.stop});
  point.loss.reset();
  point.step_norm = step_norm;
}

double loss_at(const Landscape& landscape, const Control& control, Point& point) {
  if (!point.loss) point.loss = landscape.evaluate(point.theta, {{}, control.stop}).loss();
  return *point.loss;
}

void check_rule(const StoppingRule& rule) {
  require(rule.iterations >= 0, "optimise", "received ", rule.iterations, " iterations, expected at least 0");
  require(rule.record_every >= 0, "optimise", "received record_every = ", rule.record_every,
          ", expected at least 0; 0 records the first and the last point");
  require(rule.gradient_l1 >= 0, "optimise", "received gradient_l1 = ", rule.gradient_l1, ", expected at least 0");
  require(!std::isnan(rule.loss), "optimise", "received loss = ", rule.loss,
          ", expected a number; use a negative one for no limit");
}

void check_positive(double value, const char* argument) {
  require(std::isfinite(value) && value > 0, "optimise", "received ", argument, " = ", value,
          ", expected a positive number");
}

/// The loop of all methods: stopping rules, records, progress.
class Run {
 public:
  Run(const Landscape& landscape, std::span<const double> theta, const StoppingRule& rule)
      : landscape_(landscape), rule_(rule) {
    check_rule(rule);
    require(static_cast<std::int64_t>(theta.size()) == landscape.network().parameter_count(), "optimise", "received ",
            theta.size(), " parameters, expected ", landscape.network().parameter_count());
    require_finite(theta, "optimise", "theta");
    move_to(landscape, {theta.begin(), theta.end()}, 0, rule.control, point_);
  }

  /// step(point) moves the point and returns true, or returns false when it finds no better one.
  template <class Step>
  OptimiserResult operator()(Step&& step) {
    std::optional<StopReason> reason;
    while (!(reason = ended())) {
      if (recording() && !record()) {
        reason = StopReason::callback;
        break;
      }
      check_stop(rule_.control);
      if (!step(point_)) {
        reason = StopReason::stalled;
        break;
      }
      ++iteration_;
      report_progress();
    }
    return finish(*reason);
  }

 private:
  std::optional<StopReason> ended() {
    const double size = norm_l1(point_.gradient);
    if (!std::isfinite(size)) return StopReason::diverged;
    if (size <= rule_.gradient_l1) return StopReason::gradient;
    if (rule_.loss >= 0 && loss_at(landscape_, rule_.control, point_) <= rule_.loss) return StopReason::loss;
    if (iteration_ >= rule_.iterations) return StopReason::iterations;
    return std::nullopt;
  }

  bool recording() const { return iteration_ == 0 || (rule_.record_every > 0 && iteration_ % rule_.record_every == 0); }

  /// Returns false if the callback ends the run.
  bool record() {
    result_.trajectory.push_back(
        {iteration_, loss_at(landscape_, rule_.control, point_), norm_l1(point_.gradient), point_.step_norm});
    return !rule_.callback || rule_.callback(result_.trajectory.back(), point_.theta);
  }

  void report_progress() const {
    const std::int64_t stride = std::max<std::int64_t>(1, rule_.iterations / kProgressEvents);
    if (rule_.control.progress && (iteration_ % stride == 0 || iteration_ == rule_.iterations)) {
      rule_.control.progress({"optimise", iteration_, rule_.iterations});
    }
  }

  OptimiserResult finish(StopReason reason) {
    if (result_.trajectory.empty() || result_.trajectory.back().iteration != iteration_) record();
    result_.loss = loss_at(landscape_, rule_.control, point_);
    result_.gradient_l1 = norm_l1(point_.gradient);
    result_.gradient_max = norm_max(point_.gradient);
    result_.theta = std::move(point_.theta);
    result_.iterations = iteration_;
    result_.reason = reason;
    return std::move(result_);
  }

  const Landscape& landscape_;
  const StoppingRule& rule_;
  Point point_;
  std::int64_t iteration_ = 0;
  OptimiserResult result_;
};

/// One accepted step of the damped Gauss–Newton method, with an update of the damping (Nielsen's rule).
class DampedGaussNewton {
 public:
  DampedGaussNewton(const Landscape& landscape, double damping, const Control& control)
      : landscape_(landscape), damping_(damping), control_{.progress = {}, .stop = control.stop} {}

  bool operator()(Point& point) {
    const std::vector<double> matrix =
        hessian(landscape_, point.theta, {.part = HessianPart::gauss_newton, .control = control_});
    const double loss = loss_at(landscape_, control_, point);
    const std::vector<double> scale = damped_diagonal(matrix, point.theta.size());
    if (scale.empty()) return false;
    for (double growth = 2; damping_ <= kMostDamping; damping_ *= growth, growth *= 2) {
      check_stop(control_);
      const std::optional<std::vector<double>> d = solve(matrix, scale, point.gradient);
      if (!d) continue;
      std::vector<double> trial = moved(point.theta, 1, *d);
      if (trial == point.theta) return false;
      const double trial_loss = landscape_.evaluate(trial, control_).loss();
      if (!(trial_loss < loss)) continue;
      const double gain = (loss - trial_loss) / predicted_decrease(scale, *d, point.gradient);
      damping_ = std::max(kLeastDamping, damping_ * std::max(1.0 / 3, 1 - std::pow(2 * gain - 1, 3)));
      move_to(landscape_, std::move(trial), norm_l2(*d), control_, point);
      point.loss = trial_loss;
      return true;
    }
    return false;
  }

 private:
  /// diag G with a floor; empty when G is zero or not finite.
  static std::vector<double> damped_diagonal(const std::vector<double>& matrix, std::size_t size) {
    std::vector<double> result(size);
    for (std::size_t i = 0; i < size; ++i) result[i] = matrix[i * (size + 1)];
    const double top = norm_max(result);
    if (!std::isfinite(top) || top == 0) return {};
    for (double& value : result) value = std::max(value, kDiagonalFloor * top);
    return result;
  }

  /// Solves (G + μ scale) d = −gradient; nullopt if the matrix has no Cholesky factor.
  std::optional<std::vector<double>> solve(std::vector<double> matrix, const std::vector<double>& scale,
                                           std::span<const double> gradient) const {
    const cpu::SingleThreadedBlas guard;
    const auto n = static_cast<std::int64_t>(scale.size());
    for (std::size_t i = 0; i < scale.size(); ++i) matrix[i * (scale.size() + 1)] += damping_ * scale[i];
    if (!cpu::cholesky(n, {matrix.data(), n}, landscape_.device().threads(), control_)) return std::nullopt;
    std::vector<double> d(gradient.begin(), gradient.end());
    for (double& value : d) value = -value;
    cpu::solve_cholesky(n, 1, {matrix.data(), n}, {d.data(), 1});
    return std::isfinite(norm_l1(d)) ? std::optional(std::move(d)) : std::nullopt;
  }

  /// The decrease that the quadratic model predicts: ½ dᵀ(μ scale d − gradient).
  double predicted_decrease(const std::vector<double>& scale, std::span<const double> d,
                            std::span<const double> gradient) const {
    double sum = 0;
    for (std::size_t i = 0; i < d.size(); ++i) sum += d[i] * (damping_ * scale[i] * d[i] - gradient[i]);
    return sum / 2;
  }

  const Landscape& landscape_;
  double damping_;
  Control control_;  ///< without progress: the run reports it
};

double spectral_norm(const Spectrum& spectrum) {
  return std::max(std::abs(spectrum.eigenvalues.front()), std::abs(spectrum.eigenvalues.back()));
}

/// Newton steps on g = ∇R = 0, shortened where H is nearly singular: d = −Σ (v·g) v λ/(λ² + μ) over the eigenpairs (λ,
/// v) above the truncation, μ = (κ‖g‖)². Near a manifold of critical points the eigenvalues along it are of the order
/// of ‖g‖: μ stops leaps along it, yet vanishes fast enough for quadratic convergence (Yamashita and Fukushima 2001). κ
/// follows how well the linear model of g predicts (Fan 2003).
class RegularisedNewton {
 public:
  RegularisedNewton(const Landscape& landscape, double truncation, const Control& control)
      : landscape_(landscape), truncation_(truncation), control_{.progress = {}, .stop = control.stop} {}

  bool operator()(Point& point) {
    const std::optional<Spectrum> found = spectrum_where_finite(landscape_, point.theta, {.vectors = true}, control_);
    if (!found) return false;
    const Spectrum& spectrum = *found;
    const double slope = norm_l2(point.gradient);
    for (int attempt = 0; attempt < kAttempts; ++attempt, kappa_ *= kGrowth) {
      check_stop(control_);
      Step step = step_of(spectrum, point.gradient, kappa_ * slope);
      if (attempt == 0) {
        Step plain = step_of(spectrum, point.gradient, 0);
        if (norm_l2(plain.d) <= kSimilar * norm_l2(step.d)) step = std::move(plain);
      }
      std::vector<double> trial = moved(point.theta, 1, step.d);
      if (trial == point.theta) return false;
      std::vector<double> gradient = landscape_.gradient(trial, control_);
      const double gain = (slope * slope - dot(gradient, gradient)) / step.decrease;
      if (!(gain > kSufficient)) continue;
      if (gain < kPoorModel) kappa_ *= kGrowth;
      if (gain > kGoodModel) kappa_ = std::max(kLeastKappa, kappa_ / kGrowth);
      point = {std::move(trial), std::move(gradient), std::nullopt, norm_l2(step.d)};
      return true;
    }
    return false;
  }

 private:
  struct Step {
    std::vector<double> d;
    double decrease = 0;  ///< of ‖g‖² in the linear model
  };

  Step step_of(const Spectrum& spectrum, std::span<const double> gradient, double damping) const {
    const std::size_t size = gradient.size();
    const double cut = truncation_ * spectral_norm(spectrum);
    Step step{std::vector<double>(size, 0.0)};
    for (std::size_t k = 0; k < size; ++k) {
      const double lambda = spectrum.eigenvalues[k];
      if (!(std::abs(lambda) > cut)) continue;
      const std::span<const double> v(spectrum.eigenvectors.data() + k * size, size);
      const double part = dot(v, gradient), left = damping / lambda, share = 1 / (1 + left * left);
      for (std::size_t i = 0; i < size; ++i) step.d[i] -= share * part / lambda * v[i];
      step.decrease += part * part * share * (2 - share);
    }
    return step;
  }

  const Landscape& landscape_;
  double truncation_;
  Control control_;  ///< without progress: the run reports it
  double kappa_ = kFirstKappa;
};

}  // namespace

const char* name(StopReason reason) {
  switch (reason) {
    case StopReason::iterations:
      return "iterations";
    case StopReason::gradient:
      return "gradient";
    case StopReason::loss:
      return "loss";
    case StopReason::callback:
      return "callback";
    case StopReason::stalled:
      return "stalled";
    case StopReason::diverged:
      return "diverged";
  }
  return "unknown";
}

OptimiserResult optimise(const Landscape& landscape, std::span<const double> theta, const GradientDescent& method,
                         const StoppingRule& rule) {
  check_positive(method.rate, "rate");
  return Run(landscape, theta, rule)([&](Point& point) {
    const double length = method.rate * norm_l2(point.gradient);
    move_to(landscape, moved(point.theta, -method.rate, point.gradient), length, rule.control, point);
    return true;
  });
}

OptimiserResult optimise(const Landscape& landscape, std::span<const double> theta, const Adam& method,
                         const StoppingRule& rule) {
  check_positive(method.rate, "rate");
  check_positive(method.epsilon, "epsilon");
  for (const double decay : {method.mean_decay, method.square_decay}) {
    require(decay >= 0 && decay < 1, "optimise", "received a decay of ", decay, ", expected 0 <= decay < 1");
  }
  std::vector<double> mean(theta.size(), 0.0), square(theta.size(), 0.0);
  double mean_power = 1, square_power = 1;
  return Run(landscape, theta, rule)([&](Point& point) {
    mean_power *= method.mean_decay, square_power *= method.square_decay;
    std::vector<double> next = point.theta;
    double length = 0;
    for (std::size_t i = 0; i < next.size(); ++i) {
      const double g = point.gradient[i];
      mean[i] = method.mean_decay * mean[i] + (1 - method.mean_decay) * g;
      square[i] = method.square_decay * square[i] + (1 - method.square_decay) * g * g;
      const double size = std::sqrt(square[i] / (1 - square_power)) + method.epsilon;
      const double move = method.rate * (mean[i] / (1 - mean_power)) / size;
      next[i] -= move;
      length += move * move;
    }
    move_to(landscape, std::move(next), std::sqrt(length), rule.control, point);
    return true;
  });
}

OptimiserResult optimise(const Landscape& landscape, std::span<const double> theta, const LevenbergMarquardt& method,
                         const StoppingRule& rule) {
  check_positive(method.damping, "damping");
  return Run(landscape, theta, rule)(DampedGaussNewton(landscape, method.damping, rule.control));
}

OptimiserResult optimise(const Landscape& landscape, std::span<const double> theta, const Newton& method,
                         const StoppingRule& rule) {
  require(method.truncation >= 0 && method.truncation < 1, "optimise", "received truncation = ", method.truncation,
          ", expected 0 <= truncation < 1, relative to the largest eigenvalue");
  check_vector_size(landscape, "optimise");
  return Run(landscape, theta, rule)(RegularisedNewton(landscape, method.truncation, rule.control));
}

}  // namespace lossatlas
