#include "pattern/ridge_bank.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "base/check.hpp"
#include "linalg/blas.hpp"

namespace lossatlas {
namespace {

constexpr std::int64_t kCentres = 1025;      // centres at which wells are tabulated
constexpr std::int64_t kSamples = 257;       // points of the least squares for a well
constexpr std::int64_t kFewestCarriers = 8;  // a direction with fewer has no room for a well
constexpr double kWellWidth = 3;             // where a well flattens, in knot spacings
constexpr double kRidge = 1e-8;              // keeps the coefficients of wells moderate

/// Unit vectors along which the bank has ridges: the axes, and the diagonals of the plane.
std::vector<std::vector<double>> fan_directions(std::int64_t rank, std::int64_t carriers) {
  std::vector<std::vector<double>> result;
  for (std::int64_t i = 0; i < rank; ++i) {
    result.emplace_back(static_cast<std::size_t>(rank), 0.0);
    result.back()[static_cast<std::size_t>(i)] = 1;
  }
  if (rank == 2 && carriers >= 4 * kFewestCarriers) {
    result.push_back({std::numbers::sqrt2 / 2, std::numbers::sqrt2 / 2});
    result.push_back({-std::numbers::sqrt2 / 2, std::numbers::sqrt2 / 2});
  }
  return result;
}

/// Slope of a ridge times the spacing of the knots, such that neighbours overlap as tanh(0.8 x/δ) does.
double ridge_slope(Activation activation) {
  switch (activation) {
    case Activation::sigmoid:
      return 1.6;
    case Activation::softplus:
    case Activation::gelu:
      return 2;
    default:
      return 0.8;
  }
}

struct Affine {
  double weight = 1;
  double bias = 0;
};

/// Keeps a carrier in the useful range of the next activation.
Affine passing(Activation below) { return below == Activation::sigmoid ? Affine{4, -2} : Affine{1, 0}; }

}  // namespace

RidgeBank::RidgeBank(const Network& network, std::span<double> theta) {
  const std::int64_t last_hidden = network.depth() - 2;
  width_ = network.width(last_hidden - 1);
  carriers_ = width_;
  for (std::int64_t l = 0; l < last_hidden; ++l) carriers_ = std::min(carriers_, network.width(l));
  usable_ = last_hidden >= 1 && carriers_ >= kFewestCarriers * network.inputs();
  if (!usable_) return;
  lay_first_layer(network, theta);
  lay_passing_layers(network, theta);
  for (Fan& fan : fans_) solve_wells(network, theta, fan);
}

void RidgeBank::lay_first_layer(const Network& network, std::span<double> theta) {
  const auto view = network.view(theta, 0);
  const Activation activation = lossatlas::activation(network.layer(0));
  const auto directions = fan_directions(network.inputs(), carriers_);
  const auto fans = static_cast<std::int64_t>(directions.size());
  std::int64_t first = 0;
  for (std::int64_t o = 0; o < fans; ++o) {
    Fan fan{directions[static_cast<std::size_t>(o)], first, carriers_ / fans + (o < carriers_ % fans), 0, 0, 0, {}};
    for (const double d : fan.direction) (d < 0 ? fan.lo : fan.hi) += d;
    fan.spacing = (fan.hi - fan.lo) / static_cast<double>(fan.count - 1);
    for (std::int64_t k = 0; k < fan.count; ++k) {
      double slope = ridge_slope(activation) / fan.spacing;
      double offset = -slope * (fan.lo + static_cast<double>(k) * fan.spacing);
      if (activation == Activation::sine) {  // sines of one frequency span two functions: take a Fourier basis instead
        slope = std::numbers::pi * static_cast<double>((k + 2) / 2) / (1.2 * (fan.hi - fan.lo));
        offset = -slope * fan.lo + (k % 2 ? std::numbers::pi / 2 : 0);
      }
      for (std::size_t i = 0; i < fan.direction.size(); ++i) {
        view.weight(first + k, static_cast<std::int64_t>(i)) = slope * fan.direction[i];
      }
      view.bias[static_cast<std::size_t>(first + k)] = offset;
    }
    first += fan.count;
    fans_.push_back(std::move(fan));
  }
}

void RidgeBank::lay_passing_layers(const Network& network, std::span<double> theta) const {
  for (std::int64_t l = 1; l < network.depth() - 2; ++l) {
    const auto view = network.view(theta, l);
    const Affine pass = passing(lossatlas::activation(network.layer(l - 1)));
    for (std::int64_t j = 0; j < carriers_; ++j) {
      std::fill_n(view.weight.row(j).data(), view.weight.in, 0.0);
      view.weight(j, j) = pass.weight;
      view.bias[static_cast<std::size_t>(j)] = pass.bias;
    }
  }
}

void RidgeBank::solve_wells(const Network& network, std::span<const double> theta, Fan& fan) const {
  const std::int64_t columns = fan.count + 1;
  const auto coordinate = [&](std::int64_t k, std::int64_t count) {
    return fan.lo + (fan.hi - fan.lo) * static_cast<double>(k) / static_cast<double>(count - 1);
  };
  // Carriers as functions of u = d·h: the first layer at h = u d, then unit j of each passing layer.
  std::vector<double> carriers(static_cast<std::size_t>(kSamples * columns), 1.0);
  for (std::int64_t s = 0; s < kSamples; ++s) {
    for (std::int64_t k = 0; k < fan.count; ++k) {
      double value = coordinate(s, kSamples);
      for (std::int64_t l = 0; l < network.depth() - 2; ++l) {
        const auto view = network.view(theta, l);
        double slope = l == 0 ? 0 : view.weight(fan.first + k, fan.first + k);
        for (std::size_t i = 0; l == 0 && i < fan.direction.size(); ++i) {
          slope += view.weight(fan.first + k, static_cast<std::int64_t>(i)) * fan.direction[i];
        }
        value = activate(lossatlas::activation(network.layer(l)),
                         slope * value + view.bias[static_cast<std::size_t>(fan.first + k)]);
      }
      carriers[static_cast<std::size_t>(s * columns + k)] = value;
    }
  }
  std::vector<double> wells(static_cast<std::size_t>(kSamples * kCentres));
  const double flat = kWellWidth * fan.spacing;
  for (std::int64_t s = 0; s < kSamples; ++s) {
    for (std::int64_t c = 0; c < kCentres; ++c) {
      const double x = coordinate(s, kSamples) - coordinate(c, kCentres);
      wells[static_cast<std::size_t>(s * kCentres + c)] = x * x / (1 + (x / flat) * (x / flat));
    }
  }
  const cpu::SingleThreadedBlas guard;
  std::vector<double> gram(static_cast<std::size_t>(columns * columns)),
      solved(static_cast<std::size_t>(columns * kCentres));
  cpu::syrk_upper(columns, kSamples, 1, {carriers.data(), columns}, 0, {gram.data(), columns});
  double trace = 0;
  for (std::int64_t k = 0; k < columns; ++k) trace += gram[static_cast<std::size_t>(k * columns + k)];
  for (std::int64_t k = 0; k < columns; ++k) {
    gram[static_cast<std::size_t>(k * columns + k)] += kRidge * trace / static_cast<double>(columns);
  }
  require<Error>(cpu::potrf_upper(columns, {gram.data(), columns}), "RidgeBank",
                 "received ridges without a Cholesky factor, expected a positive definite Gram matrix");
  cpu::gemm(cpu::Op::transpose, cpu::Op::none, columns, kCentres, kSamples, 1, {carriers.data(), columns},
            {wells.data(), kCentres}, 0, {solved.data(), kCentres});
  cpu::solve_upper(cpu::Op::transpose, columns, kCentres, {gram.data(), columns}, {solved.data(), kCentres});
  cpu::solve_upper(cpu::Op::none, columns, kCentres, {gram.data(), columns}, {solved.data(), kCentres});
  fan.wells.resize(solved.size());
  for (std::int64_t c = 0; c < kCentres; ++c) {
    for (std::int64_t k = 0; k < columns; ++k) {
      fan.wells[static_cast<std::size_t>(c * columns + k)] = solved[static_cast<std::size_t>(k * kCentres + c)];
    }
  }
}

void RidgeBank::subtract_wells(std::span<const double> centre, std::span<const double> curvature,
                               std::span<double> weights, double& bias) const {
  for (std::size_t o = 0; o < fans_.size(); ++o) {
    const Fan& fan = fans_[o];
    double u = 0;
    for (std::size_t i = 0; i < centre.size(); ++i) u += fan.direction[i] * centre[i];
    const double place = (u - fan.lo) / (fan.hi - fan.lo) * static_cast<double>(kCentres - 1);
    const auto nearest =
        static_cast<std::int64_t>(std::lround(std::clamp(place, 0.0, static_cast<double>(kCentres - 1))));
    const double* well = fan.wells.data() + nearest * (fan.count + 1);
    for (std::int64_t k = 0; k < fan.count; ++k)
      weights[static_cast<std::size_t>(fan.first + k)] -= curvature[o] * well[k];
    bias -= curvature[o] * well[fan.count];
  }
}

}  // namespace lossatlas
