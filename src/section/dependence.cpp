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

void append_weights(std::vector<double>& to, const LayerView<const double>& layer, const Units& rows, const Units& cols,
                    const Control& control) {
  for (const std::int32_t row : rows) {
    check_stop(control);
    for (const std::int32_t col : cols) to.push_back(layer.weight(row, col));
  }
}

void append_bias(std::vector<double>& to, const LayerView<const double>& layer, const Units& rows) {
  for (const std::int32_t row : rows) to.push_back(layer.bias[static_cast<std::size_t>(row)]);
}

bool any(const std::vector<char>& marks) {
  return std::ranges::any_of(marks, [](char mark) { return mark != 0; });
}

}  // namespace

Dependence::Dependence(const Network& network, const Section& section, const Control& control)
    : network_(network), section_(section), control_(control) {
  for (std::int64_t l = 0; l < network.depth(); ++l) supports_.emplace_back(network, section, l, control);
  const std::vector<std::vector<std::int64_t>> next = consumers(network);
  const auto adds = [&](std::int64_t l) { return std::holds_alternative<Add>(network.layer(l)); };
  for (std::int64_t l = -1; l < network.depth(); ++l) {
    const std::vector<char> none(static_cast<std::size_t>(network.width(l)), 0);
    const bool whole = l >= 0 && (adds(l) || std::ranges::any_of(next[static_cast<std::size_t>(l)], adds));
    flags_.push_back({none, none, none, whole});
  }
  flags(-1).sample.assign(flags(-1).sample.size(), 1);
  flags(-1).live.assign(flags(-1).live.size(), 1);  // inputs are always taken whole
  for (std::int64_t l = 0; l < network.depth(); ++l) mark_dependence(l);
  flags_.back().live.assign(flags_.back().live.size(), 1);
  for (std::int64_t l = network.depth() - 1; l >= 0; --l) mark_live(l);
}

Dependence::Support::Support(const Network& network, const Section& section, std::int64_t node,
                             const Control& control) {
  const auto weight = network.view(section.origin, node).weight;
  in = weight.in;
  out = weight.out;
  used.assign(static_cast<std::size_t>(out * in), 0);
  moved.assign(static_cast<std::size_t>(out), 0);
  bias_moved = moved;
  const auto any_tap = [taps = static_cast<std::size_t>(weight.taps)](const double* data, std::size_t k) {
    return std::any_of(data + k * taps, data + (k + 1) * taps, [](double value) { return value != 0; });
  };
  for (std::size_t k = 0; k < used.size(); ++k) used[k] = any_tap(weight.data, k);
  for (std::int64_t i = 0; i < section.rank(); ++i) {
    check_stop(control);
    const auto view = network.view(section.direction(i), node);
    bool moves = false;
    for (std::size_t k = 0; k < used.size(); ++k) {
      if (!any_tap(view.weight.data, k)) continue;
      moves = true;
      used[k] = 1;
      moved[k / static_cast<std::size_t>(in)] = 1;
    }
    for (std::size_t j = 0; j < view.bias.size(); ++j) bias_moved[j] |= view.bias[j] != 0;
    directions += moves;
  }
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
  if (!here.whole) return;
  here.sample.assign(here.sample.size(), any(here.sample));
  here.point.assign(here.point.size(), any(here.point));
}

/// Marks the units that a live unit of the node takes.
void Dependence::mark_live(std::int64_t node) {
  Flags& here = flags(node);
  if (here.whole) here.live.assign(here.live.size(), 1);
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
Units Dependence::Flags::chosen(Keep&& keep) const {
  Units result;
  for (std::size_t j = 0; j < live.size(); ++j) {
    if (live[j] && keep(sample[j] != 0, point[j] != 0)) result.push_back(static_cast<std::int32_t>(j));
  }
  return result;
}

Units Dependence::all(std::int64_t node) const {
  Units units(static_cast<std::size_t>(network_.width(node)));
  std::iota(units.begin(), units.end(), 0);
  return units;
}

Units Dependence::live(std::int64_t node) const {
  return flags(node).chosen([](bool, bool) { return true; });
}

Units Dependence::not_point(std::int64_t node) const {
  return flags(node).chosen([](bool, bool point) { return !point; });
}

Units Dependence::not_sample(std::int64_t node) const {
  return flags(node).chosen([](bool sample, bool) { return !sample; });
}

Units Dependence::sample_only(std::int64_t node) const {
  return flags(node).chosen([](bool sample, bool point) { return sample && !point; });
}

bool Dependence::depends_on_sample(std::int64_t node, std::int32_t unit) const {
  return flags(node).sample[static_cast<std::size_t>(unit)] != 0;
}

bool Dependence::depends_on_sample(std::int64_t node) const { return any(flags(node).sample); }

bool Dependence::is_joint(std::int64_t node) const {
  return !flags(node).chosen([](bool sample, bool point) { return sample && point; }).empty();
}

ChainLayer Dependence::extract(std::int64_t node, const Units& rows, const Units& cols, bool with_bias) const {
  ChainLayer layer;
  layer.in = static_cast<std::int64_t>(cols.size());
  layer.out = static_cast<std::int64_t>(rows.size());
  layer.activation = activation(network_.layer(node));
  const std::int64_t parts = 1 + supports_[static_cast<std::size_t>(node)].directions;
  layer.weights.reserve(static_cast<std::size_t>(parts * layer.out * layer.in));
  prefer_large_pages(layer.weights.data(), 8 * layer.weights.capacity());
  const auto origin = network_.view(section_.origin, node);
  append_weights(layer.weights, origin, rows, cols, control_);
  if (with_bias && !origin.bias.empty()) append_bias(layer.biases, origin, rows);
  for (std::int64_t i = 0; i < section_.rank(); ++i) {
    const auto direction = network_.view(section_.direction(i), node);
    if (append_moving(layer.weights, [&](auto& to) { append_weights(to, direction, rows, cols, control_); })) {
      layer.weight_directions.push_back(static_cast<std::int32_t>(i));
    }
    if (layer.biases.empty()) continue;
    if (append_moving(layer.biases, [&](auto& to) { append_bias(to, direction, rows); })) {
      layer.bias_directions.push_back(static_cast<std::int32_t>(i));
    }
  }
  return layer;
}

}  // namespace lossatlas
