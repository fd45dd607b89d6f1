// What a surface must be if the network's output p(α) does not depend on the input: σ(p(α)) of each head.
#pragma once

#include <algorithm>
#include <cmath>
#include <span>
#include <vector>

#include <lossatlas/implicit_activation.hpp>

#include "reference/oracle.hpp"

namespace lossatlas::reference {

struct SampleFree {
  std::vector<double> losses;  ///< (G, H)
  /// 4 m ε max_j Σ |w_j φ_j| over the last layer's sums, m its width: the most any computation may be off.
  double bound = 0;
};

/// σ(p(α)) at points (G, z) from one forward pass each, at x = 0.
inline SampleFree sample_free_losses(const Network& network, const Section& section, const Dataset& data, Loss loss,
                                     std::span<const double> points) {
  const ImplicitActivation sigma(loss, data);
  const auto z = static_cast<std::size_t>(section.rank());
  const auto classes = static_cast<std::size_t>(network.outputs_per_head());
  const std::vector<double> zero(static_cast<std::size_t>(network.inputs()), 0.0);
  SampleFree result;
  for (std::size_t g = 0; g < points.size() / z; ++g) {
    const std::vector<double> theta = section_point(section, points.subspan(g * z, z));
    const Trace<double> trace = forward(network, theta, zero);
    const std::vector<double>& p = trace.values.back();
    const std::vector<double>& below = trace.values[trace.values.size() - 2];
    for (std::size_t k = 0; k < p.size(); k += classes)
      result.losses.push_back(sigma(std::span(p).subspan(k, classes)));
    const auto last = network.view(std::span<const double>(theta), network.depth() - 1);
    for (std::int64_t row = 0; row < last.weight.out; ++row) {
      double sum = last.bias.empty() ? 0 : std::abs(last.bias[static_cast<std::size_t>(row)]);
      for (std::size_t i = 0; i < below.size(); ++i) {
        sum += std::abs(last.weight(row, static_cast<std::int64_t>(i)) * below[i]);
      }
      const double epsilon = std::numeric_limits<double>::epsilon();
      result.bound = std::max(result.bound, 4 * static_cast<double>(below.size()) * epsilon * sum);
    }
  }
  return result;
}

}  // namespace lossatlas::reference
