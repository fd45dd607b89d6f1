#include "critical/separation.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include "../kernels/scalar.cuh"
#include "base/parallel.hpp"
#include "base/random.hpp"
#include "base/vectors.hpp"
#include "cpu/pass.hpp"
#include "critical/row_span.hpp"

namespace lossatlas {
namespace {

constexpr double kFaint = 18.420680743952367;  // −log 1e-8: probabilities below e^-kFaint of the largest are faint
constexpr double kFree = 1e-8;                 // part of a derivative outside the span, relative to it
constexpr double kBalanced = 1e-6;             // of a sum that counts as zero, relative to its terms
constexpr double kLeastScale = 1e-7;           // of a parameter's effect on the outputs, relative to the largest
constexpr int kProbes = 4;                     // random vectors that measure lengths

/// A sample's logit difference m = p_other − p_label.
struct Pair {
  std::int64_t sample = 0;
  std::int64_t other = 0;  ///< indices of outputs
  std::int64_t label = 0;
  double level = 0;    ///< log of the softmax of `other`
  bool fixed = false;  ///< its ∂m/∂θ is in the span of those that must stay
  double length = 0;   ///< of ∂m/∂θ outside the span, approximately; 0 if it is inside
};

class Separation {
 public:
  Separation(const Landscape& landscape, std::span<const double> theta, const Control& control)
      : network_(landscape.network()),
        data_(landscape.data()),
        control_(control),
        pass_({network_, data_, landscape.loss(), 1}, theta) {}

  bool falls_for_ever() {
    if (collect_pairs()) return true;
    if (std::all_of(pairs_.begin(), pairs_.end(), [](const Pair& pair) { return pair.fixed; })) return false;
    measure_parameters();
    fix([](const Pair& pair) { return pair.fixed; });
    while (find_free()) {
      if (!balanced()) return true;
      fix([&](const Pair& pair) { return leads(pair); });
      for (Pair& pair : pairs_) pair.fixed = pair.fixed || leads(pair);
    }
    return false;
  }

 private:
  /// Collects the pairs; returns whether some head has no fixed one: scaling up its last layer then lowers its loss.
  bool collect_pairs() {
    std::vector<bool> holds(static_cast<std::size_t>(network_.heads()), network_.outputs_per_head() < 2);
    cpu::for_each_chunk(pass_, data_.size(), [&](const cpu::Pass&) {
      check_stop(control_);
      for (std::int64_t r = 0; r < pass_.rows(); ++r) {
        for (std::int64_t head = 0; head < network_.heads(); ++head) {
          if (add_pairs(r, head)) holds[static_cast<std::size_t>(head)] = true;
        }
      }
    });
    return std::find(holds.begin(), holds.end(), false) != holds.end();
  }

  /// Adds the pairs of sample first + row in a head; returns whether one of them is fixed.
  bool add_pairs(std::int64_t row, std::int64_t head) {
    const std::int64_t classes = network_.outputs_per_head(), sample = pass_.first() + row, start = head * classes;
    const double* p = pass_.output(network_.depth() - 1).at(row, start).data;
    std::int64_t label = 0;
    for (std::int64_t c = 1; c < classes; ++c) {
      if (data_.target(sample, c) > data_.target(sample, label)) label = c;
    }
    const auto norm = scalar::logsumexp(p, classes, 1);
    bool holds = false;
    for (std::int64_t c = 0; c < classes; ++c) {
      if (c == label) continue;
      const double level = norm.log_share(p[c]);
      const bool fixed = level >= -kFaint || data_.target(sample, c) > 0;
      pairs_.push_back({sample, start + c, start + label, level, fixed});
      holds = holds || fixed;
    }
    return holds;
  }

  /// Calls body(pairs of the chunk) after the forward pass of each chunk.
  template <class Body>
  void for_each_part(Body&& body) {
    auto first = pairs_.begin();
    cpu::for_each_chunk(pass_, data_.size(), [&](const cpu::Pass&) {
      check_stop(control_);
      const auto last = std::find_if(first, pairs_.end(),
                                     [&](const Pair& pair) { return pair.sample >= pass_.first() + pass_.rows(); });
      body(std::span<Pair>(first, last));
      first = last;
    });
  }

  std::size_t row_of(const Pair& pair) const {
    return static_cast<std::size_t>((pair.sample - pass_.first()) * network_.outputs());
  }

  /// Σ weight(pair) ∂m/∂θ over a chunk's pairs.
  template <class Weight>
  std::vector<double> sum_of(std::span<const Pair> pairs, Weight&& weight) {
    double* cotangent = pass_.cotangent().data;
    std::fill_n(cotangent, pass_.rows() * network_.outputs(), 0.0);
    for (const Pair& pair : pairs) {
      const double w = weight(pair);
      cotangent[row_of(pair) + static_cast<std::size_t>(pair.other)] += w;
      cotangent[row_of(pair) + static_cast<std::size_t>(pair.label)] -= w;
    }
    std::vector<double> sum(static_cast<std::size_t>(network_.parameter_count()), 0.0);
    pass_.vjp(sum);
    for (std::size_t i = 0; i < scale_.size(); ++i) sum[i] *= scale_[i];
    return sum;
  }

  /// Finds units of the parameters in which each moves the outputs about equally far.
  void measure_parameters() {
    std::vector<double> squares(static_cast<std::size_t>(network_.parameter_count()), 0.0);
    for_each_part([&](std::span<const Pair> pairs) {
      for (int probe = 0; probe < kProbes; ++probe) {
        const std::vector<double> sum = sum_of(pairs, [&](const Pair&) { return random_.normal(); });
        for (std::size_t i = 0; i < sum.size(); ++i) squares[i] += sum[i] * sum[i];
      }
    });
    const double least = kLeastScale * std::sqrt(norm_max(squares));
    for (double& square : squares) square = least > 0 ? 1 / std::max(std::sqrt(square), least) : 1;
    scale_ = std::move(squares);
  }

  /// Adds ∂m/∂θ of the chosen pairs to the span.
  template <class Chosen>
  void fix(Chosen&& chosen) {
    for_each_part([&](std::span<const Pair> pairs) {
      const auto count = std::count_if(pairs.begin(), pairs.end(), chosen);
      for (std::ptrdiff_t added = 0; added < count && span_.rank() < scale_.size(); ++added) {
        check_stop(control_);
        if (!span_.add(sum_of(pairs, [&](const Pair& pair) { return chosen(pair) ? random_.normal() : 0; }))) return;
      }
    });
  }

  std::vector<double> random_direction() {
    std::vector<double> direction(scale_.size());
    for (double& value : direction) value = random_.normal();
    return direction;
  }

  /// Measures the pairs' lengths outside the span; returns whether there are any free pairs.
  bool find_free() {
    std::vector<std::vector<double>> all, outside;
    for (int probe = 0; probe < kProbes; ++probe) {
      all.push_back(random_direction());
      outside.push_back(span_.rest(all.back()));
      for (std::size_t i = 0; i < scale_.size(); ++i) {
        all.back()[i] *= scale_[i];
        outside.back()[i] *= scale_[i];
      }
    }
    top_ = -std::numeric_limits<double>::infinity();
    for_each_part([&](std::span<Pair> pairs) {
      const std::vector<double> whole = squares_along(all, pairs), rest = squares_along(outside, pairs);
      for (std::size_t k = 0; k < pairs.size(); ++k) {
        Pair& pair = pairs[k];
        const bool free = !pair.fixed && rest[k] > kFree * kFree * whole[k];
        pair.length = free ? std::sqrt(rest[k] / kProbes) : 0;
        if (free) top_ = std::max(top_, pair.level);
      }
    });
    return std::isfinite(top_);
  }

  /// For each pair, the squared change of its m, summed over the directions.
  std::vector<double> squares_along(const std::vector<std::vector<double>>& directions, std::span<const Pair> pairs) {
    std::vector<double> squares(pairs.size(), 0.0);
    for (const std::vector<double>& direction : directions) {
      const double* moved = pass_.jvp(direction).data;
      for (std::size_t k = 0; k < pairs.size(); ++k) {
        const std::size_t row = row_of(pairs[k]);
        const double change = moved[row + static_cast<std::size_t>(pairs[k].other)] -
                              moved[row + static_cast<std::size_t>(pairs[k].label)];
        squares[k] += change * change;
      }
    }
    return squares;
  }

  /// Free, and not faint compared with the largest free one.
  bool leads(const Pair& pair) const { return pair.length > 0 && pair.level >= top_ - kFaint; }

  /// Whether Σ e^m ∂m/∂θ of the leading pairs vanishes outside the span.
  bool balanced() {
    const auto weight = [&](const Pair& pair) { return leads(pair) ? std::exp(pair.level - top_) : 0; };
    std::vector<double> sum(scale_.size(), 0.0);
    double terms = 0;
    for_each_part([&](std::span<const Pair> pairs) {
      sum = moved(sum, 1, sum_of(pairs, weight));
      for (const Pair& pair : pairs) terms += weight(pair) * pair.length;
    });
    return norm_l2(span_.rest(sum)) <= kBalanced * terms;
  }

  const Network& network_;
  const Dataset& data_;
  const Control& control_;
  cpu::Pass pass_;
  Random random_{0};           // the same for the same point
  std::vector<Pair> pairs_;    // by sample
  std::vector<double> scale_;  // (M): derivatives are taken in these units of θ
  RowSpan span_;
  double top_ = 0;  ///< largest level of a free pair
};

}  // namespace

bool falls_for_ever(const Landscape& landscape, std::span<const double> theta, const Control& control) {
  if (landscape.loss() != Loss::cross_entropy) return false;
  const cpu::SingleThreadedBlas guard;
  return Separation(landscape, theta, control).falls_for_ever();
}

}  // namespace lossatlas
