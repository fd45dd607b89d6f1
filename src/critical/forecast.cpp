#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include <lossatlas/forecast.hpp>
#include <lossatlas/hessian.hpp>

#include "base/check.hpp"
#include "base/parallel.hpp"
#include "cpu/pass.hpp"
#include "model/graph.hpp"

namespace lossatlas {
namespace {

/// B (inputs, inputs) and D (inputs, outputs) of one neuron.
struct SplitBlocks {
  std::int64_t inputs = 0;
  std::int64_t outputs = 0;
  std::vector<double> b;
  std::vector<double> d;
};

void check_target(const Landscape& landscape, std::span<const double> theta, std::int64_t layer, std::int64_t neuron,
                  std::string_view function) {
  const Network& network = landscape.network();
  dense_chain(network, function);
  require(static_cast<std::int64_t>(theta.size()) == network.parameter_count(), function, "received theta with ",
          theta.size(), " entries, expected ", network.parameter_count(), "; pass one value for each parameter");
  require(layer >= 1 && layer < network.depth(), function, "received layer ", layer, " of a network with ",
          network.depth() - 1, " hidden layers, expected one of them, from 1");
  const std::int64_t width = network.width(layer - 1);
  require(neuron >= 0 && neuron < width, function, "received neuron ", neuron, " of layer ", layer, ", expected 0 to ",
          width - 1, "; neurons count from 0");
}

/// Sums B and D over the samples, for some neurons of one hidden layer at a time.
class BlockSums {
 public:
  BlockSums(const Landscape& landscape, std::span<const double> theta, std::int64_t layer, const Control& control)
      : network_(landscape.network()),
        control_(control),
        samples_(landscape.data().size()),
        layer_(layer),
        next_(network_.view(theta, layer)),
        pass_({network_, landscape.data(), landscape.loss(), 1}, theta) {
    below_ = network_.width(layer - 2);
    inputs_ = below_ + !network_.view(theta, layer - 1).bias.empty();
    activation_ = activation(network_.layer(layer - 1));
    const auto size = static_cast<std::size_t>(std::min(cpu::kChunk, samples_) * inputs_);
    extended_.resize(size);
    weighted_.resize(size);
  }

  std::vector<SplitBlocks> of(std::int64_t first, std::int64_t count) {
    const cpu::SingleThreadedBlas guard;
    const std::int64_t outputs = next_.weight.out;
    std::vector<SplitBlocks> blocks(static_cast<std::size_t>(count),
                                    {inputs_, outputs, std::vector<double>(static_cast<std::size_t>(inputs_ * inputs_)),
                                     std::vector<double>(static_cast<std::size_t>(inputs_ * outputs))});
    cpu::for_each_chunk(pass_, samples_, [&](cpu::Pass& pass) {
      check_stop(control_);
      pass.fill_loss_cotangent(static_cast<double>(samples_));
      pass.pull_down(layer_);
      extend_inputs();
      for (std::int64_t s = 0; s < count; ++s) add(first + s, blocks[static_cast<std::size_t>(s)]);
    });
    for (SplitBlocks& one : blocks) {
      for (std::int64_t i = 0; i < inputs_; ++i) {
        for (std::int64_t j = 0; j < i; ++j) {
          one.b[static_cast<std::size_t>(i * inputs_ + j)] = one.b[static_cast<std::size_t>(j * inputs_ + i)];
        }
      }
    }
    return blocks;
  }

 private:
  /// Fills x̃ (rows, inputs): the layer's inputs, followed by a 1 if it has a bias.
  void extend_inputs() {
    const cpu::ConstMatrix below = pass_.input(layer_ - 1);
    std::fill(extended_.begin(), extended_.end(), 1.0);
    for (std::int64_t r = 0; r < pass_.rows(); ++r) {
      std::copy_n(below.at(r, 0).data, below_, extended_.data() + r * inputs_);
    }
  }

  /// weighted ← diag(factor) x̃.
  template <class Factor>
  cpu::ConstMatrix weigh(Factor&& factor) {
    for (std::int64_t r = 0; r < pass_.rows(); ++r) {
      const double weight = factor(r);
      for (std::int64_t i = r * inputs_; i < (r + 1) * inputs_; ++i) {
        weighted_[static_cast<std::size_t>(i)] = weight * extended_[static_cast<std::size_t>(i)];
      }
    }
    return {weighted_.data(), inputs_};
  }

  /// Adds the chunk's share of one neuron's B and D.
  void add(std::int64_t neuron, SplitBlocks& blocks) {
    using cpu::Op;
    const cpu::ConstMatrix z = pass_.pre(layer_ - 1), e = pass_.delta(layer_), x{extended_.data(), inputs_};
    const cpu::ConstMatrix curved = weigh([&](std::int64_t r) {
      double along = 0;  // e_n·a, a the output weights of the neuron
      for (std::int64_t k = 0; k < blocks.outputs; ++k) along += e.at(r, k).data[0] * next_.weight(k, neuron);
      return along * activate_second_derivative(activation_, z.at(r, neuron).data[0]);
    });
    cpu::gemm(Op::transpose, Op::none, inputs_, inputs_, pass_.rows(), 1, curved, x, 1, {blocks.b.data(), inputs_});
    const cpu::ConstMatrix sloped =
        weigh([&](std::int64_t r) { return activate_derivative(activation_, z.at(r, neuron).data[0]); });
    cpu::gemm(Op::transpose, Op::none, inputs_, blocks.outputs, pass_.rows(), 1, sloped, e, 1,
              {blocks.d.data(), blocks.outputs});
  }

  const Network& network_;
  const Control& control_;
  std::int64_t samples_;
  std::int64_t layer_;
  LayerView<const double> next_;
  cpu::Pass pass_;
  std::int64_t below_ = 0;
  std::int64_t inputs_ = 0;
  Activation activation_ = Activation::identity;
  std::vector<double> extended_;  // x̃ of the chunk (rows, inputs)
  std::vector<double> weighted_;  // the same, each row times a factor
};

/// [[sign·B, D], [Dᵀ, 0]].
std::vector<double> bordered(const SplitBlocks& blocks, double sign) {
  const std::int64_t inputs = blocks.inputs, outputs = blocks.outputs, n = inputs + outputs;
  std::vector<double> result(static_cast<std::size_t>(n * n));
  for (std::int64_t i = 0; i < inputs; ++i) {
    for (std::int64_t j = 0; j < inputs; ++j) {
      result[static_cast<std::size_t>(i * n + j)] = sign * blocks.b[static_cast<std::size_t>(i * inputs + j)];
    }
    for (std::int64_t k = 0; k < outputs; ++k) {
      const double d = blocks.d[static_cast<std::size_t>(i * outputs + k)];
      result[static_cast<std::size_t>(i * n + inputs + k)] = d;
      result[static_cast<std::size_t>((inputs + k) * n + i)] = d;
    }
  }
  return result;
}

}  // namespace

SplitForecast split_forecast(const Landscape& landscape, std::span<const double> theta, std::int64_t layer,
                             std::int64_t neuron, const SpectrumOptions& options, const Control& control) {
  check_target(landscape, theta, layer, neuron, "split_forecast");
  SplitBlocks blocks = BlockSums(landscape, theta, layer, control).of(neuron, 1).front();
  require_finite(blocks.b, "split_forecast", "B of this theta");
  require_finite(blocks.d, "split_forecast", "D of this theta");
  const SpectrumOptions values{.zero_threshold = options.zero_threshold};
  SplitForecast result;
  const auto inertia = [&](const Spectrum& spectrum) {
    result.gap = std::min(result.gap, spectrum.zero.gap);
    return spectrum.inertia;
  };
  const auto small = [&](double sign) {
    return inertia(symmetric_spectrum(bordered(blocks, sign), blocks.inputs + blocks.outputs, values));
  };
  result.gap = std::numeric_limits<double>::infinity();
  result.inputs = blocks.inputs;
  result.outputs = blocks.outputs;
  result.b_eigenvalues = symmetric_spectrum(blocks.b, blocks.inputs, values).eigenvalues;
  result.narrow = inertia(hessian_spectrum(landscape, theta, values, {.control = {{}, control.stop}}));
  result.inside = small(1);
  result.outside = small(-1);
  result.border = small(0);
  result.b = std::move(blocks.b);
  result.d = std::move(blocks.d);
  return result;
}

Inertia SplitForecast::wide(double alpha) const {
  require(std::isfinite(alpha), "SplitForecast::wide", "received alpha ", alpha, ", expected a finite number; use 0.5");
  return narrow + (alpha == 0 || alpha == 1 ? border : 0 < alpha && alpha < 1 ? inside : outside);
}

Inertia SplitForecast::wide(std::span<const double> weights) const {
  require_finite(weights, "SplitForecast::wide", "weights");
  const double sum = std::accumulate(weights.begin(), weights.end(), 0.0);
  require(std::abs(sum - 1) <= 1e-12, "SplitForecast::wide", "received weights with sum ", sum,
          ", expected 1 within 1e-12; divide them by their sum");
  const std::int64_t positive = std::count_if(weights.begin(), weights.end(), [](double w) { return w > 0; });
  const std::int64_t negative = std::count_if(weights.begin(), weights.end(), [](double w) { return w < 0; });
  const std::int64_t zero = static_cast<std::int64_t>(weights.size()) - positive - negative;
  return narrow + (positive - 1) * inside + negative * outside + zero * border;
}

Inertia forecast_split(const Landscape& landscape, std::span<const double> theta, const Split& split,
                       const Control& control) {
  require(std::isfinite(split.alpha), "forecast_split", "received alpha ", split.alpha, ", expected a finite number; ",
          "use 0.5");
  return split_forecast(landscape, theta, split.layer, split.neuron, {}, control).wide(split.alpha);
}

std::vector<SplitCandidate> rank_splits(const Landscape& landscape, std::span<const double> theta,
                                        const Control& control) {
  const Network& network = landscape.network();
  check_target(landscape, theta, 1, 0, "rank_splits");
  constexpr std::int64_t kGroup = 8;                             // most neurons that share the passes over samples
  constexpr std::int64_t kGroupEntries = std::int64_t{1} << 24;  // and most entries of their matrices B together
  struct Group {
    std::int64_t layer, first, count;
    std::size_t place;
  };
  std::vector<Group> groups;
  std::vector<SplitCandidate> result;
  for (std::int64_t layer = 1; layer < network.depth(); ++layer) {
    const LayerView<const double> view = network.view(theta, layer - 1);
    const std::int64_t width = view.weight.out, inputs = view.weight.in + !view.bias.empty();
    const std::int64_t group = std::clamp<std::int64_t>(kGroupEntries / (inputs * inputs), 1, kGroup);
    for (std::int64_t s = 0; s < width; ++s) {
      if (s % group == 0) groups.push_back({layer, s, std::min(group, width - s), result.size()});
      result.push_back({layer, s, 0});
    }
  }
  parallel_for(static_cast<std::int64_t>(groups.size()), landscape.device().threads(), {{}, control.stop}, "",
               [&](std::int64_t g, int) {
                 const Group& group = groups[static_cast<std::size_t>(g)];
                 const auto blocks = BlockSums(landscape, theta, group.layer, control).of(group.first, group.count);
                 for (std::size_t s = 0; s < blocks.size(); ++s) {
                   require_finite(blocks[s].b, "rank_splits", "B of this theta");
                   result[group.place + s].smallest_eigenvalue =
                       symmetric_spectrum(blocks[s].b, blocks[s].inputs).eigenvalues.front();
                 }
               });
  std::stable_sort(result.begin(), result.end(), [](const SplitCandidate& a, const SplitCandidate& b) {
    return a.smallest_eigenvalue < b.smallest_eigenvalue;
  });
  return result;
}

}  // namespace lossatlas
