#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include <lossatlas/embedding.hpp>

#include "base/check.hpp"
#include "base/parallel.hpp"
#include "cpu/pass.hpp"
#include "model/graph.hpp"

namespace lossatlas {
namespace {

constexpr std::int64_t kNull = -1;

/// Which neurons of each hidden layer are copied, and the factor on each copy's output weights.
struct Copies {
  std::vector<std::vector<std::int64_t>> source;
  std::vector<std::vector<double>> share;
};

std::int64_t hidden_width(const Network& network, std::size_t hidden) {
  return network.width(static_cast<std::int64_t>(hidden));
}

void check_point(const Network& network, std::span<const double> theta, std::string_view function) {
  dense_chain(network, function);  // throws: the copies of a neuron would have to pass an Add in step with its branches
  require(static_cast<std::int64_t>(theta.size()) == network.parameter_count(), function, "received theta with ",
          theta.size(), " entries, expected ", network.parameter_count(), "; pass one value for each parameter");
}

void check_layer(const Network& network, std::int64_t layer, std::string_view function) {
  require(network.depth() >= 2, function, "received a network of one layer, expected a hidden layer; use a deeper one");
  require(layer >= 1 && layer < network.depth(), function, "received layer ", layer, ", expected a hidden layer from 1",
          " to ", network.depth() - 1, "; layer 1 is the first hidden one");
}

void check_neuron(std::int64_t neuron, std::int64_t width, std::int64_t layer, std::string_view function) {
  require(neuron >= 0 && neuron < width, function, "received neuron ", neuron, " of layer ", layer, ", expected 0 to ",
          width - 1, "; neurons count from 0");
}

bool is_one(double sum) { return std::abs(sum - 1) <= 1e-12; }

void check_weights(std::span<const double> weights, std::string_view function) {
  require(!weights.empty(), function, "received no weights, expected one for each copy; pass shares that sum to 1");
  require_finite(weights, function, "weights");
  const double sum = std::accumulate(weights.begin(), weights.end(), 0.0);
  require(is_one(sum), function, "received weights with sum ", sum, ", expected 1 within 1e-12; ",
          "divide them by their sum");
}

/// Copies every neuron once.
Copies identity_copies(const Network& network) {
  Copies copies;
  for (std::size_t l = 0; l + 1 < network.nodes().size(); ++l) {
    copies.source.emplace_back(static_cast<std::size_t>(hidden_width(network, l)));
    std::iota(copies.source.back().begin(), copies.source.back().end(), 0);
    copies.share.emplace_back(copies.source.back().size(), 1.0);
  }
  return copies;
}

/// Splits once more a neuron that may already be a copy: shares multiply.
void apply_split(Copies& copies, const Network& network, std::int64_t layer, std::int64_t neuron,
                 std::span<const double> weights, std::string_view function) {
  check_layer(network, layer, function);
  auto& source = copies.source[static_cast<std::size_t>(layer - 1)];
  auto& share = copies.share[static_cast<std::size_t>(layer - 1)];
  check_neuron(neuron, static_cast<std::int64_t>(source.size()), layer, function);
  const auto s = static_cast<std::size_t>(neuron);
  const double whole = share[s];
  share[s] = weights[0] * whole;
  for (const double weight : weights.subspan(1)) {
    source.push_back(source[s]);
    share.push_back(weight * whole);
  }
}

void apply_split(Copies& copies, const Network& network, const Split& one, std::string_view function) {
  require(std::isfinite(one.alpha), function, "received alpha ", one.alpha, ", expected a finite number; use 0.5");
  const double weights[] = {1 - one.alpha, one.alpha};
  apply_split(copies, network, one.layer, one.neuron, weights, function);
}

/// Copies neurons in turn up to these hidden widths and leaves their shares at 1.
Copies copies_in_turn(const Network& network, std::span<const std::int64_t> hidden_widths) {
  Copies copies = identity_copies(network);
  require(hidden_widths.size() == copies.source.size(), "embed", "received ", hidden_widths.size(),
          " hidden widths, expected ", copies.source.size(), "; pass one for each hidden layer");
  for (std::size_t l = 0; l < copies.source.size(); ++l) {
    const std::int64_t narrow = hidden_width(network, l), wide = hidden_widths[l];
    require(wide >= narrow, "embed", "received width ", wide, " for hidden layer ", l + 1, ", expected at least ",
            narrow, "; an embedding only widens");
    for (std::int64_t j = narrow; j < wide; ++j) copies.source[l].push_back(j % narrow);
    copies.share[l].resize(static_cast<std::size_t>(wide), 1.0);
  }
  return copies;
}

/// Checks that the shares of the copies of each neuron of hidden layer `hidden` sum to 1.
void check_shares(const Copies& copies, std::size_t hidden, std::int64_t narrow) {
  const std::vector<double>& share = copies.share[hidden];
  require_finite(share, "embed", "shares");
  std::vector<double> sums(static_cast<std::size_t>(narrow));
  for (std::size_t j = 0; j < share.size(); ++j) sums[static_cast<std::size_t>(copies.source[hidden][j])] += share[j];
  for (std::size_t s = 0; s < sums.size(); ++s) {
    require(is_one(sums[s]), "embed", "received shares with sum ", sums[s], " for the copies of neuron ", s,
            " of layer ", hidden + 1, ", expected 1 within 1e-12; divide them by their sum");
  }
}

/// The neurons on one side of a layer; the network's inputs and outputs are copied once.
struct Side {
  std::vector<std::int64_t> source;
  std::vector<double> share;
};

Side side(const Copies& copies, std::size_t hidden, std::int64_t width) {
  if (hidden < copies.source.size()) return {copies.source[hidden], copies.share[hidden]};
  Side all{std::vector<std::int64_t>(static_cast<std::size_t>(width)),
           std::vector<double>(static_cast<std::size_t>(width), 1.0)};
  std::iota(all.source.begin(), all.source.end(), 0);
  return all;
}

Side inputs_of(const Copies& copies, const Network& network, std::size_t layer) {
  return layer == 0 ? side({}, 0, network.inputs()) : side(copies, layer - 1, 0);
}

Side outputs_of(const Copies& copies, const Network& network, std::size_t layer) {
  return side(copies, layer, hidden_width(network, layer));
}

Network widened(const Network& network, const Copies& copies) {
  std::vector<Layer> layers;
  for (Dense dense : dense_chain(network, "embed")) {
    dense.in = std::ssize(inputs_of(copies, network, layers.size()).source);
    dense.out = std::ssize(outputs_of(copies, network, layers.size()).source);
    layers.emplace_back(dense);
  }
  return Network(std::move(layers), network.heads());
}

/// W'(i, j) = share_j W(source_i, source_j), b'(i) = b(source_i); a null neuron has only its bias.
void copy_layer(const LayerView<const double>& narrow, const Side& in, const Side& out, double null_bias,
                const LayerView<double>& wide) {
  for (std::size_t i = 0; i < out.source.size(); ++i) {
    const std::int64_t row = out.source[i];
    if (!wide.bias.empty()) wide.bias[i] = row == kNull ? null_bias : narrow.bias[static_cast<std::size_t>(row)];
    if (row == kNull) continue;
    for (std::size_t j = 0; j < in.source.size(); ++j) {
      if (in.source[j] == kNull) continue;
      for (std::int64_t tap = 0; tap < narrow.weight.taps; ++tap) {
        wide.weight(static_cast<std::int64_t>(i), static_cast<std::int64_t>(j), tap) =
            in.share[j] * narrow.weight(row, in.source[j], tap);
      }
    }
  }
}

Embedding widen(const Network& network, std::span<const double> theta, Copies copies, double null_bias = 0) {
  Embedding result{widened(network, copies), {}, {}, {}};
  result.theta.resize(static_cast<std::size_t>(result.network.parameter_count()));
  for (std::size_t l = 0; l < network.nodes().size(); ++l) {
    const auto layer = static_cast<std::int64_t>(l);
    copy_layer(network.view(theta, layer), inputs_of(copies, network, l), outputs_of(copies, network, l), null_bias,
               result.network.view(std::span(result.theta), layer));
  }
  result.source = std::move(copies.source);
  result.share = std::move(copies.share);
  return result;
}

/// The larger one; NaN if either is NaN.
double larger(double a, double b) { return std::isnan(a) || b <= a ? a : b; }

double sum_of_magnitudes(std::span<const double> values) {
  double sum = 0;
  for (const double value : values) sum += std::abs(value);
  return sum;
}

double output_change(const Landscape& narrow, std::span<const double> theta, const Embedding& embedding,
                     const Control& control) {
  const cpu::SingleThreadedBlas guard;
  const Dataset& data = narrow.data();
  const std::int64_t outputs = embedding.network.outputs();
  std::vector<double> worst(static_cast<std::size_t>((data.size() + cpu::kChunk - 1) / cpu::kChunk));
  parallel_for(static_cast<std::int64_t>(worst.size()), narrow.device().threads(), {{}, control.stop}, "",
               [&](std::int64_t chunk, int) {
                 cpu::ForwardPass before({narrow.network(), data, narrow.loss(), 1}, theta);
                 cpu::ForwardPass after({embedding.network, data, narrow.loss(), 1}, embedding.theta);
                 const std::int64_t first = chunk * cpu::kChunk, rows = std::min(cpu::kChunk, data.size() - first);
                 before.forward(first, rows);
                 after.forward(first, rows);
                 double& here = worst[static_cast<std::size_t>(chunk)];
                 for (std::int64_t i = 0; i < rows * outputs; ++i) {
                   here = larger(here, std::abs(after.outputs().data[i] - before.outputs().data[i]));
                 }
               });
  return std::accumulate(worst.begin(), worst.end(), 0.0, larger);
}

/// Σ_n ∂R/∂z of each layer: the gradient of weights from a constant input neuron.
std::vector<std::vector<double>> error_sums(const Landscape& landscape, std::span<const double> theta,
                                            const Control& control) {
  const cpu::SingleThreadedBlas guard;
  const Network& network = landscape.network();
  const auto samples = static_cast<double>(landscape.data().size());
  std::vector<std::vector<double>> sums;
  for (std::int64_t l = 0; l < network.depth(); ++l) sums.emplace_back(static_cast<std::size_t>(network.width(l)));
  cpu::Pass pass({network, landscape.data(), landscape.loss(), 1}, theta);
  cpu::for_each_chunk(pass, landscape.data().size(), [&](cpu::Pass&) {
    check_stop(control);
    pass.fill_loss_cotangent(samples);
    pass.pull_down(0);
    for (std::size_t l = 0; l < sums.size(); ++l) {
      const cpu::ConstMatrix error = pass.delta(static_cast<std::int64_t>(l));
      for (std::int64_t r = 0; r < pass.rows(); ++r) {
        for (std::size_t i = 0; i < sums[l].size(); ++i) {
          sums[l][i] += error.at(r, static_cast<std::int64_t>(i)).data[0];
        }
      }
    }
  });
  return sums;
}

/// The activation of a null neuron, which has no inputs.
double null_activation(const Embedding& embedding, std::size_t hidden, std::size_t neuron) {
  const std::span<const double> bias =
      embedding.network.view(std::span<const double>(embedding.theta), static_cast<std::int64_t>(hidden)).bias;
  return activate(activation(embedding.network.layer(static_cast<std::int64_t>(hidden))),
                  bias.empty() ? 0.0 : bias[neuron]);
}

/// ∇R_wide as the embedding determines it: ∂R/∂W'(i, j) = share_i ∂R/∂W(source_i, source_j), and for a null input
/// neuron share_i φ(b_j) Σ_n ∂R/∂z(source_i).
std::vector<double> predicted_gradient(const Landscape& narrow, std::span<const double> theta,
                                       std::span<const double> gradient, const Embedding& embedding,
                                       const Control& control) {
  const Copies copies{embedding.source, embedding.share};
  const bool has_null = std::any_of(copies.source.begin(), copies.source.end(), [](const auto& layer) {
    return std::find(layer.begin(), layer.end(), kNull) != layer.end();
  });
  const std::vector<std::vector<double>> sums =
      has_null ? error_sums(narrow, theta, control) : std::vector<std::vector<double>>{};
  std::vector<double> result(embedding.theta.size());
  for (std::size_t l = 0; l < narrow.network().nodes().size(); ++l) {
    const auto layer = static_cast<std::int64_t>(l);
    const LayerView<const double> from = narrow.network().view(gradient, layer);
    const LayerView<double> to = embedding.network.view(std::span(result), layer);
    const Side in = inputs_of(copies, narrow.network(), l), out = outputs_of(copies, narrow.network(), l);
    for (std::size_t i = 0; i < out.source.size(); ++i) {
      if (out.source[i] == kNull) continue;
      const auto row = static_cast<std::size_t>(out.source[i]);
      if (!to.bias.empty()) to.bias[i] = out.share[i] * from.bias[row];
      for (std::size_t j = 0; j < in.source.size(); ++j) {
        to.weight(static_cast<std::int64_t>(i), static_cast<std::int64_t>(j)) =
            out.share[i] * (in.source[j] == kNull ? null_activation(embedding, l - 1, j) * sums[l][row]
                                                  : from.weight(out.source[i], in.source[j]));
      }
    }
  }
  return result;
}

void check_embedding(const Network& narrow, const Embedding& embedding) {
  bool fits = embedding.network.depth() == narrow.depth() && embedding.source.size() == embedding.share.size() &&
              static_cast<std::int64_t>(embedding.source.size()) + 1 == narrow.depth();
  for (std::size_t l = 0; fits && l < embedding.source.size(); ++l) {
    fits = embedding.source[l].size() == embedding.share[l].size();
    for (const std::int64_t s : embedding.source[l]) fits = fits && s >= kNull && s < hidden_width(narrow, l);
  }
  fits = fits && embedding.network == widened(narrow, {embedding.source, embedding.share});
  require(fits, "certify", "received an embedding of another network, expected one made from ", narrow.describe(),
          "; pass the result of split_neuron or embed on this network");
}

}  // namespace

Embedding split_neuron(const Network& network, std::span<const double> theta, const Split& split) {
  check_point(network, theta, "split_neuron");
  Copies copies = identity_copies(network);
  apply_split(copies, network, split, "split_neuron");
  return widen(network, theta, std::move(copies));
}

Embedding split_neuron(const Network& network, std::span<const double> theta, std::int64_t layer, std::int64_t neuron,
                       std::span<const double> weights) {
  check_point(network, theta, "split_neuron");
  check_weights(weights, "split_neuron");
  Copies copies = identity_copies(network);
  apply_split(copies, network, layer, neuron, weights, "split_neuron");
  return widen(network, theta, std::move(copies));
}

Embedding embed(const Network& network, std::span<const double> theta, std::span<const Split> splits) {
  check_point(network, theta, "embed");
  Copies copies = identity_copies(network);
  for (const Split& one : splits) apply_split(copies, network, one, "embed");
  return widen(network, theta, std::move(copies));
}

Embedding embed(const Network& network, std::span<const double> theta, std::span<const WeightedSplit> splits) {
  check_point(network, theta, "embed");
  Copies copies = identity_copies(network);
  for (const WeightedSplit& one : splits) {
    check_weights(one.weights, "embed");
    apply_split(copies, network, one.layer, one.neuron, one.weights, "embed");
  }
  return widen(network, theta, std::move(copies));
}

Embedding embed(const Network& network, std::span<const double> theta, std::span<const std::int64_t> hidden_widths) {
  check_point(network, theta, "embed");
  Copies copies = copies_in_turn(network, hidden_widths);
  for (std::size_t l = 0; l < copies.source.size(); ++l) {
    const std::int64_t narrow = hidden_width(network, l), wide = hidden_widths[l];
    for (std::size_t j = 0; j < copies.share[l].size(); ++j) {
      const std::int64_t count = (wide - copies.source[l][j] + narrow - 1) / narrow;
      copies.share[l][j] = 1.0 / static_cast<double>(count);
    }
  }
  return widen(network, theta, std::move(copies));
}

Embedding embed(const Network& network, std::span<const double> theta, std::span<const std::vector<double>> shares) {
  check_point(network, theta, "embed");
  std::vector<std::int64_t> hidden_widths;
  for (const std::vector<double>& layer : shares) hidden_widths.push_back(static_cast<std::int64_t>(layer.size()));
  Copies copies = copies_in_turn(network, hidden_widths);
  copies.share.assign(shares.begin(), shares.end());
  for (std::size_t l = 0; l < copies.share.size(); ++l) check_shares(copies, l, hidden_width(network, l));
  return widen(network, theta, std::move(copies));
}

Embedding null_embedding(const Network& network, std::span<const double> theta, std::int64_t layer, std::int64_t count,
                         double bias) {
  check_point(network, theta, "null_embedding");
  check_layer(network, layer, "null_embedding");
  require(count >= 1, "null_embedding", "received ", count, " neurons, expected at least 1");
  const auto hidden = static_cast<std::size_t>(layer - 1);
  const bool has_bias = !network.view(theta, layer - 1).bias.empty();
  require(std::isfinite(bias) && (bias == 0 || has_bias), "null_embedding", "received bias ", bias, " for layer ",
          layer, ", expected ", has_bias ? "a finite number" : "0, because it has no bias", "; use 0");
  Copies copies = identity_copies(network);
  copies.source[hidden].resize(copies.source[hidden].size() + static_cast<std::size_t>(count), kNull);
  copies.share[hidden].resize(copies.source[hidden].size(), 0.0);
  return widen(network, theta, std::move(copies), bias);
}

EmbeddingFamily embedding_family(const Network& network, std::span<const double> theta, std::span<const Split> splits) {
  check_point(network, theta, "embedding_family");
  Copies copies = identity_copies(network);
  std::vector<std::int64_t> added;
  for (const Split& one : splits) {
    check_layer(network, one.layer, "embedding_family");
    check_neuron(one.neuron, hidden_width(network, static_cast<std::size_t>(one.layer - 1)), one.layer,
                 "embedding_family");
    added.push_back(static_cast<std::int64_t>(copies.source[static_cast<std::size_t>(one.layer - 1)].size()));
    apply_split(copies, network, {one.layer, one.neuron, 0.0}, "embedding_family");
  }
  EmbeddingFamily family{widen(network, theta, std::move(copies)), {}, 0};
  const std::size_t parameters = family.base.theta.size();
  family.directions.resize(splits.size() * parameters);
  for (std::size_t k = 0; k < splits.size(); ++k) {
    const LayerView<const double> base =
        family.base.network.view(std::span<const double>(family.base.theta), splits[k].layer);
    const LayerView<double> direction =
        family.base.network.view(std::span(family.directions).subspan(k * parameters, parameters), splits[k].layer);
    bool moves = false;
    for (std::int64_t i = 0; i < base.weight.out; ++i) {
      for (std::int64_t tap = 0; tap < base.weight.taps; ++tap) {
        const double weight = base.weight(i, splits[k].neuron, tap);
        direction.weight(i, splits[k].neuron, tap) = -weight;
        direction.weight(i, added[k], tap) = weight;
        moves = moves || weight != 0;
      }
    }
    // No other direction reaches this one's new column, so the non-zero ones are independent.
    family.rank += moves;
  }
  return family;
}

EmbeddingCertificate certify(const Landscape& narrow, std::span<const double> theta, const Embedding& embedding,
                             const Control& control) {
  const Control stop{{}, control.stop};
  check_point(narrow.network(), theta, "certify");
  check_embedding(narrow.network(), embedding);
  check_point(embedding.network, embedding.theta, "certify");
  const Landscape wide(embedding.network, narrow.data(), narrow.loss(), narrow.device());
  const std::vector<double> before = narrow.gradient(theta, stop), after = wide.gradient(embedding.theta, stop);
  const std::vector<double> predicted = predicted_gradient(narrow, theta, before, embedding, stop);
  EmbeddingCertificate result;
  result.output_change = output_change(narrow, theta, embedding, stop);
  result.loss_change = std::abs(wide.evaluate(embedding.theta, stop).loss() - narrow.evaluate(theta, stop).loss());
  for (std::size_t m = 0; m < after.size(); ++m) {
    result.gradient_residual = larger(result.gradient_residual, std::abs(after[m] - predicted[m]));
  }
  result.narrow_gradient_l1 = sum_of_magnitudes(before);
  result.wide_gradient_l1 = sum_of_magnitudes(after);
  return result;
}

}  // namespace lossatlas
