#include "pattern/refine.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <numeric>

#include "base/parallel.hpp"
#include "cpu/pass.hpp"
#include "linalg/blas.hpp"

namespace lossatlas {
namespace {

constexpr std::int64_t kProbes = 2048;  // samples behind the preconditioner
constexpr std::int64_t kWidestBlock =
    512;                         // inputs up to which second moments are factored; wider layers take the diagonal
constexpr double kFloor = 1e-6;  // added to second moments, relative to their mean diagonal
constexpr std::int64_t kProducts = 16;  // conjugate gradient steps of one iteration
constexpr double kFirstDamping = 1e-2, kLeastDamping = 1e-7, kMostDamping = 1e4;

double dot(std::span<const double> a, std::span<const double> b) {
  return std::inner_product(a.begin(), a.end(), b.begin(), 0.0);
}

/// P of levenberg_marquardt(): for unit i of layer l the block s_i (C + floor), C the second moments of [a₋; 1].
class Preconditioner {
 public:
  Preconditioner(const Regression& regression, std::span<const double> theta) : network_(regression.network) {
    const Dataset& data = regression.data;
    const std::int64_t stride = std::max<std::int64_t>(1, data.size() / kProbes);
    std::vector<double> probes;
    for (std::int64_t n = 0; n < data.size(); n += stride) {
      const auto x = data.input(n);
      probes.insert(probes.end(), x.begin(), x.end());
      ++rows_;
    }
    const cpu::SingleThreadedBlas guard;
    cpu::Pass pass({network_, data, Loss::mean_squared_error, 1}, theta, {.capacity = rows_, .slopes = true});
    pass.forward({probes.data(), data.features()}, rows_);
    std::vector<std::vector<double>> slopes;  // mean φ'² of each unit
    for (std::int64_t l = 0; l < network_.depth(); ++l) {
      add_moments(pass.input(l));
      slopes.push_back(mean_squares(pass.slope(l)));
    }
    for (std::size_t l = 0; l < layers_.size(); ++l) layers_[l].squares.assign(slopes[l].size(), 2.0);
    for (std::int64_t l = network_.depth() - 2; l >= 0; --l) {
      const auto above = network_.view(theta, l + 1).weight;
      auto& squares = layers_[static_cast<std::size_t>(l)].squares;
      const auto& upper = layers_[static_cast<std::size_t>(l + 1)].squares;
      for (std::size_t i = 0; i < squares.size(); ++i) {
        double sum = 0;
        for (std::int64_t j = 0; j < above.out; ++j) {
          const double w = above(j, static_cast<std::int64_t>(i));
          sum += w * w * upper[static_cast<std::size_t>(j)];
        }
        squares[i] = sum * slopes[static_cast<std::size_t>(l)][i];
      }
      const double mean = std::accumulate(squares.begin(), squares.end(), 0.0) / static_cast<double>(squares.size());
      for (double& square : squares) square = std::max(square, 1e-4 * mean);
    }
  }

  /// result += factor·P v.
  void multiply_add(double factor, std::span<const double> v, std::span<double> result) const {
    each_unit(v, result,
              [&](const LayerBlock& layer, double square, std::span<const double> in, std::span<double> out) {
                const std::size_t n = in.size();
                for (std::size_t i = 0; i < n; ++i) {
                  const double* row = layer.moments.data() + (layer.diagonal ? i : i * n);
                  const double value = layer.diagonal ? *row * in[i] : dot({row, n}, in);
                  out[i] += factor * square * value;
                }
              });
  }

  /// result = P⁻¹ v.
  void solve(std::span<const double> v, std::span<double> result) const {
    const cpu::SingleThreadedBlas guard;
    each_unit(v, result,
              [&](const LayerBlock& layer, double square, std::span<const double> in, std::span<double> out) {
                const auto n = static_cast<std::int64_t>(in.size());
                for (std::size_t i = 0; i < in.size(); ++i)
                  out[i] = in[i] / square / (layer.diagonal ? layer.moments[i] : 1);
                if (layer.diagonal) return;
                cpu::solve_upper(cpu::Op::transpose, n, 1, {layer.factor.data(), n}, {out.data(), 1});
                cpu::solve_upper(cpu::Op::none, n, 1, {layer.factor.data(), n}, {out.data(), 1});
              });
  }

 private:
  struct LayerBlock {
    bool diagonal = false;
    std::vector<double> moments;  // (in + 1, in + 1), or the diagonal
    std::vector<double> factor;   // its upper Cholesky factor
    std::vector<double> squares;  // (out)
  };

  void add_moments(cpu::ConstMatrix inputs) {
    const std::int64_t in = inputs.stride, n = in + 1;
    LayerBlock layer;
    layer.diagonal = in > kWidestBlock;
    std::vector<double> extended(static_cast<std::size_t>(rows_ * n), 1.0);
    for (std::int64_t r = 0; r < rows_; ++r) std::copy_n(inputs.at(r, 0).data, in, extended.begin() + r * n);
    const double scale = 1 / static_cast<double>(rows_);
    if (layer.diagonal) {
      layer.moments.assign(static_cast<std::size_t>(n), 0.0);
      for (std::size_t k = 0; k < extended.size(); ++k)
        layer.moments[k % static_cast<std::size_t>(n)] += scale * extended[k] * extended[k];
    } else {
      layer.moments.resize(static_cast<std::size_t>(n * n));
      cpu::gemm(cpu::Op::transpose, cpu::Op::none, n, n, rows_, scale, {extended.data(), n}, {extended.data(), n}, 0,
                {layer.moments.data(), n});
    }
    const std::size_t step = layer.diagonal ? 1 : static_cast<std::size_t>(n + 1);
    double trace = 0;
    for (std::size_t k = 0; k < layer.moments.size(); k += step) trace += layer.moments[k];
    for (std::size_t k = 0; k < layer.moments.size(); k += step)
      layer.moments[k] += kFloor * trace / static_cast<double>(n);
    layer.factor = layer.diagonal ? std::vector<double>{} : layer.moments;
    if (!layer.diagonal && !cpu::potrf_upper(n, {layer.factor.data(), n})) {
      throw Error("[levenberg_marquardt] received features whose second moments are not finite; choose another seed");
    }
    layers_.push_back(std::move(layer));
  }

  /// The mean square of each column of values (rows, units).
  std::vector<double> mean_squares(cpu::ConstMatrix values) const {
    std::vector<double> squares(static_cast<std::size_t>(values.stride), 0.0);
    for (std::size_t k = 0; k < squares.size() * static_cast<std::size_t>(rows_); ++k) {
      squares[k % squares.size()] += values.data[k] * values.data[k] / static_cast<double>(rows_);
    }
    return squares;
  }

  /// Calls use(layer, s_i, [w_i, b_i] of v, the same of result) for every unit.
  template <class Use>
  void each_unit(std::span<const double> v, std::span<double> result, Use&& use) const {
    for (std::int64_t l = 0; l < network_.depth(); ++l) {
      const auto from = network_.view(v, l);
      const auto to = network_.view(result, l);
      const LayerBlock& layer = layers_[static_cast<std::size_t>(l)];
      const auto in = static_cast<std::size_t>(from.weight.in);
      std::vector<double> x(in + 1), y(in + 1);
      for (std::int64_t i = 0; i < from.weight.out; ++i) {
        std::copy_n(from.weight.row(i).begin(), in, x.begin());
        std::copy_n(to.weight.row(i).begin(), in, y.begin());
        x[in] = from.bias[static_cast<std::size_t>(i)], y[in] = to.bias[static_cast<std::size_t>(i)];
        use(layer, layer.squares[static_cast<std::size_t>(i)], x, y);
        std::copy_n(y.begin(), in, to.weight.row(i).begin());
        to.bias[static_cast<std::size_t>(i)] = y[in];
      }
    }
  }

  const Network& network_;
  std::int64_t rows_ = 0;
  std::vector<LayerBlock> layers_;
};

/// Solves (G + μ P) d = −gradient approximately.
std::vector<double> damped_step(const Regression& regression, std::span<const double> theta,
                                std::span<const double> gradient, const Preconditioner& preconditioner, double damping,
                                const Control& control) {
  const std::size_t size = theta.size();
  std::vector<double> d(size, 0.0), r(size), z(size), p(size), q(size);
  for (std::size_t i = 0; i < size; ++i) r[i] = -gradient[i];
  preconditioner.solve(r, z);
  p = z;
  double rz = dot(r, z);
  const double first = rz;
  for (std::int64_t k = 0; k < kProducts && rz > 1e-6 * first; ++k) {
    check_stop(control);
    regression.landscape.gauss_newton_product(theta, p, {{}, control.stop}, q);
    preconditioner.multiply_add(damping, p, q);
    const double curvature = dot(p, q);
    if (!(curvature > 0)) break;
    const double step = rz / curvature;
    for (std::size_t i = 0; i < size; ++i) d[i] += step * p[i], r[i] -= step * q[i];
    preconditioner.solve(r, z);
    const double next = dot(r, z);
    for (std::size_t i = 0; i < size; ++i) p[i] = z[i] + next / rz * p[i];
    rz = next;
  }
  return d;
}

}  // namespace

double Regression::loss(std::span<const double> theta, const Control& control) const {
  std::vector<double> losses(static_cast<std::size_t>(network.heads())), accuracy(losses.size());
  landscape.evaluate(theta, {{}, control.stop}, losses, accuracy);
  return std::accumulate(losses.begin(), losses.end(), 0.0);
}

std::vector<double> levenberg_marquardt(const Regression& regression, std::vector<double> theta,
                                        const RefineOptions& options) {
  double loss = regression.loss(theta, options.control), damping = kFirstDamping;
  std::vector<double> gradient(theta.size());
  for (std::int64_t i = 0; i < options.iterations && damping < kMostDamping; ++i) {
    regression.landscape.gradient(theta, 0, regression.data.size(), {{}, options.control.stop}, gradient);
    const Preconditioner preconditioner(regression, theta);
    for (bool taken = false; !taken && damping < kMostDamping;) {
      const std::vector<double> d = damped_step(regression, theta, gradient, preconditioner, damping, options.control);
      for (double length = 1; !taken && length > 0.05; length *= 0.3) {
        std::vector<double> trial = theta;
        for (std::size_t m = 0; m < trial.size(); ++m) trial[m] += length * d[m];
        const double trial_loss = regression.loss(trial, options.control);
        if (!(trial_loss < loss)) continue;
        taken = true;
        theta = std::move(trial);
        loss = trial_loss;
        damping = std::max(kLeastDamping, damping * (length == 1 ? 0.3 : 1.5));
      }
      if (!taken) damping *= 8;
    }
    if (options.accepted && damping < kMostDamping) options.accepted(theta);
    if (options.control.progress) options.control.progress({"refine", i + 1, options.iterations});
  }
  return theta;
}

std::vector<double> adam(const Regression& regression, std::vector<double> theta, const AdamOptions& options) {
  constexpr double kMean = 0.9, kSquare = 0.999, kEpsilon = 1e-8;
  const std::size_t size = theta.size();
  std::vector<double> gradient(size), mean(size), square(size);
  const std::int64_t samples = regression.data.size(), batches = std::max<std::int64_t>(1, samples / options.batch);
  for (std::int64_t i = 0; i < options.iterations; ++i) {
    check_stop(options.control);
    const std::int64_t batch = i % batches;
    regression.landscape.gradient(theta, batch * samples / batches, (batch + 1) * samples / batches,
                                  {{}, options.control.stop}, gradient);
    const double done = static_cast<double>(i) / static_cast<double>(options.iterations);
    const double rate = options.rate * 0.5 * (1 + std::cos(std::numbers::pi * done));
    const double unbias_mean = 1 - std::pow(kMean, i + 1), unbias_square = 1 - std::pow(kSquare, i + 1);
    for (std::size_t m = 0; m < size; ++m) {
      mean[m] = kMean * mean[m] + (1 - kMean) * gradient[m];
      square[m] = kSquare * square[m] + (1 - kSquare) * gradient[m] * gradient[m];
      theta[m] -= rate * (mean[m] / unbias_mean) / (std::sqrt(square[m] / unbias_square) + kEpsilon);
    }
    if (options.control.progress) options.control.progress({"adam", i + 1, options.iterations});
    const std::int64_t each = std::max<std::int64_t>(1, options.iterations / options.reports);
    if (options.reported && (i + 1) % each == 0) options.reported(theta);
  }
  return theta;
}

}  // namespace lossatlas
