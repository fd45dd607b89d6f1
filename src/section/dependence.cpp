#include "section/dependence.hpp"

#include <algorithm>
#include <numeric>
#include <variant>

#include "base/host_memory.hpp"
#include "base/parallel.hpp"
#include "model/graph.hpp"

namespace lossatlas {
namespace {

/// Appends and returns true; if everything appended is zero, takes it back and returns false.
template <class Append>
bool append_moving(std::vector<double>& to, Append&& append) {
  const auto before = static_cast<std::ptrdiff_t>(to.size());
  append(to);
  if (std::any_of(to.begin() + before, to.end(), [](double value) { return value != 0; })) return true;
  to.resize(static_cast<std::size_t>(before));
  return false;
}

bool any(const std::vector<char>& marks) {
  return std::ranges::any_of(marks, [](char mark) { return mark != 0; });
}

}  // namespace

Dependence::Dependence(const Network& network, const Section& section, const Control& control)
    : network_(network), section_(section), control_(control), consumers_(consumers(network)) {
  for (std::int64_t l = 0; l < network.depth(); ++l) supports_.push_back(support(l));
  for (std::int64_t l = -1; l < network.depth(); ++l) {
    const std::vector<char> none(static_cast<std::size_t>(network.width(l)), 0);
    flags_.push_back({none, none, none});
  }
  flags(-1).sample.assign(flags(-1).sample.size(), 1);
  flags(-1).live.assign(flags(-1).live.size(), 1);  // inputs are always taken whole
  for (std::int64_t l = 0; l < network.depth(); ++l) mark_dependence(l);
  flags_.back().live.assign(flags_.back().live.size(), 1);
  for (std::int64_t l = network.depth() - 1; l >= 0; --l) mark_live(l);
}

Dependence::Support Dependence::support(std::int64_t node) const {
  const auto weight = network_.view(section_.origin, node).weight;
  Support result{weight.in, weight.out, {}, {}, {}, 0};
  result.used.assign(static_cast<std::size_t>(weight.out * weight.in), 0);
  result.moved.assign(static_cast<std::size_t>(weight.out), 0);
  result.bias_moved = result.moved;
  const auto any_tap = [taps = static_cast<std::size_t>(weight.taps)](const double* data, std::size_t k) {
    return std::any_of(data + k * taps, data + (k + 1) * taps, [](double value) { return value != 0; });
  };
  for (std::size_t k = 0; k < result.used.size(); ++k) result.used[k] = any_tap(weight.data, k);
  for (std::int64_t i = 0; i < section_.rank(); ++i) {
    check_stop(control_);
    const auto view = network_.view(section_.direction(i), node);
    bool moves = false;
    for (std::size_t k = 0; k < result.used.size(); ++k) {
      if (!any_tap(view.weight.data, k)) continue;
      moves = true;
      result.used[k] = 1;
      result.moved[k / static_cast<std::size_t>(weight.in)] = 1;
    }
    for (std::size_t j = 0; j < view.bias.size(); ++j) result.bias_moved[j] |= view.bias[j] != 0;
    result.directions += moves;
  }
  return result;
}

bool Dependence::counts_as_a_whole(std::int64_t node) const {
  const auto adds = [&](std::int64_t one) { return std::holds_alternative<Add>(network_.layer(one)); };
  return adds(node) || std::ranges::any_of(consumers_[static_cast<std::size_t>(node)], adds);
}

void Dependence::mark_dependence(std::int64_t node) {
  const Support& support = supports_[static_cast<std::size_t>(node)];
  Flags& here = flags(node);
  for (const std::int32_t input : network_.nodes()[static_cast<std::size_t>(node)].inputs) {
    const Flags& below = flags(input);
    for (std::size_t j = 0; j < here.point.size(); ++j) {
      if (support.out == 0) {  // an Add
        here.sample[j] |= below.sample[j];
        here.point[j] |= below.point[j];
        continue;
      }
      here.point[j] |= support.moved[j] | support.bias_moved[j];
      const char* used = support.used.data() + j * static_cast<std::size_t>(support.in);
      for (std::size_t i = 0; i < static_cast<std::size_t>(support.in); ++i) {
        here.sample[j] |= used[i] & below.sample[i];
        here.point[j] |= used[i] & below.point[i];
      }
    }
  }
  if (!counts_as_a_whole(node)) return;
  here.sample.assign(here.sample.size(), any(here.sample));
  here.point.assign(here.point.size(), any(here.point));
}

/// Marks the units that a live unit of the node takes.
void Dependence::mark_live(std::int64_t node) {
  Flags& here = flags(node);
  if (counts_as_a_whole(node)) here.live.assign(here.live.size(), 1);
  const Support& support = supports_[static_cast<std::size_t>(node)];
  if (support.out == 0) return;  // what an Add takes counts as a whole
  Flags& below = flags(network_.nodes()[static_cast<std::size_t>(node)].inputs.front());
  const auto in = static_cast<std::size_t>(support.in);
  for (std::size_t j = 0; j < here.live.size(); ++j) {
    if (!here.live[j]) continue;
    for (std::size_t i = 0; i < in; ++i) below.live[i] |= support.used[j * in + i];
  }
}

template <class Keep>
Units Dependence::chosen(std::int64_t node, Keep&& keep) const {
  const Flags& here = flags(node);
  Units result;
  for (std::size_t j = 0; j < here.live.size(); ++j) {
    if (here.live[j] && keep(here.sample[j] != 0, here.point[j] != 0)) result.push_back(static_cast<std::int32_t>(j));
  }
  return result;
}

Units Dependence::all(std::int64_t node) const {
  Units units(static_cast<std::size_t>(network_.width(node)));
  std::iota(units.begin(), units.end(), 0);
  return units;
}

Units Dependence::live(std::int64_t node) const {
  return chosen(node, [](bool, bool) { return true; });
}

Units Dependence::not_point(std::int64_t node) const {
  return chosen(node, [](bool, bool point) { return !point; });
}

Units Dependence::not_sample(std::int64_t node) const {
  return chosen(node, [](bool sample, bool) { return !sample; });
}

Units Dependence::sample_only(std::int64_t node) const {
  return chosen(node, [](bool sample, bool point) { return sample && !point; });
}

bool Dependence::depends_on_sample(std::int64_t node, std::int32_t unit) const {
  return flags(node).sample[static_cast<std::size_t>(unit)] != 0;
}

bool Dependence::depends_on_sample(std::int64_t node) const { return any(flags(node).sample); }

bool Dependence::is_joint(std::int64_t node) const {
  return !chosen(node, [](bool sample, bool point) { return sample && point; }).empty();
}

ChainLayer Dependence::extract(std::int64_t node, const Units& rows, const Units& cols, bool with_bias) const {
  ChainLayer layer;
  layer.in = static_cast<std::int64_t>(cols.size());
  layer.out = static_cast<std::int64_t>(rows.size());
  layer.activation = activation(network_.layer(node));
  const std::int64_t parts = 1 + supports_[static_cast<std::size_t>(node)].directions;
  layer.weights.reserve(static_cast<std::size_t>(parts * layer.out * layer.in));
  prefer_large_pages(layer.weights.data(), 8 * layer.weights.capacity());
  append_weights(layer.weights, section_.origin, node, rows, cols);
  const bool has_bias = !network_.view(section_.origin, node).bias.empty();
  if (with_bias && has_bias) append_bias(layer.biases, section_.origin, node, rows);
  for (std::int64_t i = 0; i < section_.rank(); ++i) {
    if (append_moving(layer.weights, [&](auto& to) { append_weights(to, section_.direction(i), node, rows, cols); })) {
      layer.weight_directions.push_back(static_cast<std::int32_t>(i));
    }
    if (layer.biases.empty()) continue;
    if (append_moving(layer.biases, [&](auto& to) { append_bias(to, section_.direction(i), node, rows); })) {
      layer.bias_directions.push_back(static_cast<std::int32_t>(i));
    }
  }
  return layer;
}

void Dependence::append_weights(std::vector<double>& to, std::span<const double> theta, std::int64_t node,
                                const Units& rows, const Units& cols) const {
  const auto weight = network_.view(theta, node).weight;
  for (const std::int32_t row : rows) {
    check_stop(control_);
    for (const std::int32_t col : cols) to.push_back(weight(row, col));
  }
}

void Dependence::append_bias(std::vector<double>& to, std::span<const double> theta, std::int64_t node,
                             const Units& rows) const {
  const auto bias = network_.view(theta, node).bias;
  for (const std::int32_t row : rows) to.push_back(bias[static_cast<std::size_t>(row)]);
}

}  // namespace lossatlas
