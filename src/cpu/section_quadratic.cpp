#include "cpu/section_quadratic.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/parallel.hpp"
#include "cpu/section_lists.hpp"
#include "cpu/section_pack.hpp"

namespace lossatlas::cpu {
namespace {

constexpr std::int64_t kChunkSamples = 256;  // factored by one item; a multiple of R on every target
constexpr std::int64_t kPointsOfItem = 1024;

// ‖x‖, computed so that squares do not overflow; NaN if an entry is not finite.
double norm(std::span<const double> x) {
  double scale = 0;
  for (const double value : x) scale = std::max(scale, std::abs(value));
  if (scale == 0) scale = 1;
  double sum = 0;
  for (const double value : x) sum += (value / scale) * (value / scale);
  return scale * std::sqrt(sum);
}

// Reduces a column-major matrix (rows, columns), rows ≥ columns, to its triangular factor in place, by Householder.
void triangularise(double* matrix, std::int64_t rows, std::int64_t columns) {
  for (std::int64_t k = 0; k < columns; ++k) {
    double* x = matrix + k * rows + k;
    const auto length = static_cast<std::size_t>(rows - k);
    const double size = norm({x, length});
    if (size == 0) continue;
    const double pivot = x[0] > 0 ? -size : size;
    const double head = x[0] - pivot;  // v = x − pivot e₁, scaled to v₀ = 1
    for (std::size_t i = 1; i < length; ++i) x[i] /= head;
    const double tau = -head / pivot;
    for (std::int64_t j = k + 1; j < columns; ++j) {
      double* y = matrix + j * rows + k;
      double inner = y[0];
      for (std::size_t i = 1; i < length; ++i) inner += x[i] * y[i];
      y[0] -= tau * inner;
      for (std::size_t i = 1; i < length; ++i) y[i] -= tau * inner * x[i];
    }
    x[0] = pivot;
    std::fill(x + 1, x + length, 0.0);
  }
}

// The residual columns of all heads at R samples, below the factor so far.
class Residuals {
 public:
  Residuals(const SectionPlan& plan, const PlanLists& lists, const Dataset& data, const SampleList& list)
      : plan_(plan),
        lists_(lists),
        data_(data),
        list_(list),
        columns_(plan.rank + 1),
        classes_(plan.outputs / plan.heads),
        rows_(columns_ + list.rows() * classes_),
        scratch_(list.scratch()),
        matrix_(static_cast<std::size_t>(plan.heads * columns_ * rows_)) {}

  /// Writes the factor (H, z+1, z+1), column-major, of samples first..last−1.
  void factor(std::int64_t first, std::int64_t last, const Control& control, double* factor) {
    std::fill(matrix_.begin(), matrix_.end(), 0.0);
    for (std::int64_t sample = first; sample < last; sample += list_.rows()) {
      const std::int64_t valid = std::min(list_.rows(), last - sample);
      fill(sample, valid, control);
      for (std::int64_t head = 0; head < plan_.heads; ++head) {
        check_stop(control);
        triangularise(at(head, 0), rows_, columns_);
      }
    }
    for (std::int64_t column = 0; column < plan_.heads * columns_; ++column) {
      std::copy_n(matrix_.data() + column * rows_, columns_, factor + column * columns_);
    }
  }

 private:
  double* at(std::int64_t head, std::int64_t column) { return matrix_.data() + (head * columns_ + column) * rows_; }
  // Adds to column `column` of all heads, below the factor; value(output, n) is an entry.
  template <class Value>
  void set_column(std::int64_t column, std::int64_t valid, Value&& value) {
    for (std::int64_t output = 0; output < plan_.outputs; ++output) {
      double* to = at(output / classes_, column) + columns_ + output % classes_ * list_.rows();
      for (std::int64_t n = 0; n < valid; ++n) to[n] += value(output, n);
      std::fill(to + valid, to + list_.rows(), 0.0);
    }
  }

  void fill(std::int64_t first, std::int64_t valid, const Control& control) {
    for (std::int64_t column = 0; column < plan_.heads * columns_; ++column) {
      std::fill_n(matrix_.data() + column * rows_ + columns_, rows_ - columns_, 0.0);
    }
    const Crossing& crossing = lists_.crossings.front();
    if (crossing.offset != kNoValue) {
      const ChainLayer& bias = *lists_.point[static_cast<std::size_t>(crossing.offset)].layer;
      for (std::size_t part = 0; !bias.biases.empty() && part <= bias.bias_directions.size(); ++part) {
        const double* values = bias.biases.data() + static_cast<std::int64_t>(part) * bias.out;
        const std::int64_t column = part == 0 ? 0 : 1 + bias.bias_directions[part - 1];
        set_column(column, valid, [&](std::int64_t output, std::int64_t) { return values[output]; });
      }
    }
    list_.strip(first, control, scratch_.data(), [&](std::int32_t value, const double* units) {
      for (std::size_t part = 0; part < crossing.parts.size(); ++part) {
        if (crossing.parts[part] != value) continue;
        const std::int64_t column = part == 0 ? 0 : 1 + crossing.directions[part - 1];
        set_column(column, valid,
                   [&](std::int64_t output, std::int64_t n) { return units[output * list_.rows() + n]; });
      }
    });
    set_column(0, valid,
               [&](std::int64_t output, std::int64_t n) { return -data_.target(first + n, output % classes_); });
  }

  const SectionPlan& plan_;
  const PlanLists& lists_;
  const Dataset& data_;
  const SampleList& list_;
  std::int64_t columns_;
  std::int64_t classes_;
  std::int64_t rows_;
  AlignedBuffer<double> scratch_;
  std::vector<double> matrix_;  // (H, z+1, rows_)
};

// Computes the factors (chunks, H, z+1, z+1) of all chunks and merges them, in order, into that of all samples.
std::vector<double> factor_all(const SectionPlan& plan, const Dataset& data, int threads, const Control& control) {
  const PlanLists lists = lists_of(plan);
  const SampleList list(lists, data, control);
  const std::int64_t columns = plan.rank + 1;
  const std::int64_t size = plan.heads * columns * columns;
  const std::int64_t chunks = ceil_divide(data.size(), kChunkSamples);
  std::vector<double> factors(static_cast<std::size_t>(chunks * size));
  parallel_for(chunks, threads, control, "samples", [&](std::int64_t chunk, int) {
    const std::int64_t first = chunk * kChunkSamples;
    Residuals(plan, lists, data, list)
        .factor(first, std::min(data.size(), first + kChunkSamples), control, factors.data() + chunk * size);
  });
  std::vector<double> result(factors.begin(), factors.begin() + size);
  std::vector<double> pair(static_cast<std::size_t>(2 * columns * columns));
  for (std::int64_t chunk = 1; chunk < chunks; ++chunk) {
    for (std::int64_t head = 0; head < plan.heads; ++head) {
      check_stop(control);
      double* top = result.data() + head * columns * columns;
      const double* bottom = factors.data() + chunk * size + head * columns * columns;
      for (std::int64_t c = 0; c < columns; ++c) {
        std::copy_n(top + c * columns, columns, pair.data() + 2 * c * columns);
        std::copy_n(bottom + c * columns, columns, pair.data() + (2 * c + 1) * columns);
      }
      triangularise(pair.data(), 2 * columns, columns);
      for (std::int64_t c = 0; c < columns; ++c) std::copy_n(pair.data() + 2 * c * columns, columns, top + c * columns);
    }
  }
  return result;
}

// ‖F (1, α)‖².
double squared_norm(const double* factor, std::span<const double> alpha) {
  const auto columns = static_cast<std::int64_t>(alpha.size()) + 1;
  double sum = 0;
  for (std::int64_t row = 0; row < columns; ++row) {
    double entry = row == 0 ? factor[0] : 0.0;
    for (std::int64_t c = std::max<std::int64_t>(row, 1); c < columns; ++c) {
      entry += factor[c * columns + row] * alpha[static_cast<std::size_t>(c - 1)];
    }
    sum += entry * entry;
  }
  return sum;
}

class QuadraticSection final : public DeviceSection {
 public:
  QuadraticSection(const SectionPlan& plan, const Dataset& data, int threads, const Control& control)
      : plan_(plan), samples_(data.size()), threads_(threads), factor_(factor_all(plan, data, threads, control)) {}

  void losses(const SectionPoints& points, const Control& control, std::span<double> losses) override {
    const std::int64_t rank = plan_.rank, heads = plan_.heads, size = (rank + 1) * (rank + 1);
    const auto item = [&](std::int64_t index, int) {
      const std::int64_t first = index * kPointsOfItem, count = std::min(points.count() - first, kPointsOfItem);
      std::vector<double> alphas(static_cast<std::size_t>(count * rank));
      points.copy(first, count, alphas);
      for (std::int64_t g = 0; g < count; ++g) {
        const std::span<const double> alpha(alphas.data() + g * rank, static_cast<std::size_t>(rank));
        for (std::int64_t head = 0; head < heads; ++head) {
          losses[static_cast<std::size_t>((first + g) * heads + head)] =
              squared_norm(factor_.data() + head * size, alpha) / static_cast<double>(samples_);
        }
      }
    };
    with_memory(8 * threads_ * kPointsOfItem * rank,
                [&] { parallel_for(ceil_divide(points.count(), kPointsOfItem), threads_, control, "section", item); });
  }

 private:
  const SectionPlan& plan_;
  std::int64_t samples_;
  int threads_;
  std::vector<double> factor_;  // (H, z+1, z+1), column-major
};

}  // namespace

std::unique_ptr<DeviceSection> quadratic_section(const SectionPlan& plan, const Dataset& data, int threads,
                                                 const Control& control) {
  const std::int64_t squares = plan.heads * (plan.rank + 1) * (plan.rank + 1);
  std::int64_t weights = 0;
  for (const PlanStep& step : lists_of(plan).sample) weights += step.adds() ? 0 : step.layer->in * step.layer->out;
  const std::int64_t bytes = 8 * (weights + ceil_divide(data.size(), kChunkSamples) * squares);
  return with_memory(bytes, [&] { return std::make_unique<QuadraticSection>(plan, data, threads, control); });
}

}  // namespace lossatlas::cpu
