#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/check.hpp"
#include "base/parallel.hpp"
#include "base/random.hpp"
#include "cpu/section_kernel.hpp"
#include "cpu/section_pack.hpp"
#include "linalg/blas.hpp"
#include "model/graph.hpp"
#include "pattern/feature_selection.hpp"
#include "pattern/features.hpp"
#include "pattern/ridge_bank.hpp"

namespace lossatlas {
namespace {

using cpu::AlignedBuffer;

constexpr std::int64_t kRounds = 24;
constexpr std::int64_t kPool = 4096;    // proposals per round
constexpr std::int64_t kShortlist = 3;  // scored exactly, per feature of a round
constexpr double kRidge = 1e-9;         // added to every squared length per pixel
constexpr double kLeastNorm = 1e-2;     // squared length below which a feature is nothing new
constexpr double kWidest = 0.08;        // of a bump, the box being 1 wide
constexpr double kMostElongated = 10;
constexpr double kAnywhere = 0.05;                           // share of the proposals that ignore the residual
constexpr std::int64_t kStripsPerItem = 8;                   // strips of one parallel item
constexpr std::int64_t kPixelBytes = std::int64_t{1} << 30;  // features of the pixels held at once

/// Proposed units of the last hidden layer: weights (count, width) and biases (count).
struct Proposals {
  std::int64_t count = 0;
  std::int64_t width = 0;
  std::vector<double> weights;
  std::vector<double> biases;

  Proposals chosen(std::span<const std::int64_t> indices) const {
    Proposals result{static_cast<std::int64_t>(indices.size()), width, {}, {}};
    for (const std::int64_t i : indices) {
      result.weights.insert(result.weights.end(), weights.begin() + i * width, weights.begin() + (i + 1) * width);
      result.biases.push_back(biases[static_cast<std::size_t>(i)]);
    }
    return result;
  }
};

/// What the last hidden layer reads at every pixel, in strips for the SIMD kernels.
template <class T>
class StripInputs {
 public:
  StripInputs(std::span<const double> inputs, std::int64_t rows, std::int64_t width)
      : kernels_(cpu::section_kernels<T>()), rows_(rows), width_(width) {
    const std::int64_t lanes = kernels_.rows;
    strips_ = AlignedBuffer<T>::zeroed(cpu::ceil_divide(rows, lanes) * width * lanes);
    for (std::int64_t n = 0; n < rows; ++n) {
      T* strip = strips_.data() + n / lanes * width * lanes + n % lanes;
      for (std::int64_t i = 0; i < width; ++i)
        strip[i * lanes] = static_cast<T>(inputs[static_cast<std::size_t>(n * width + i)]);
    }
  }

  /// Calls use(item, first row, rows, values): features (count, lanes) of each strip, those of an item in order.
  template <class Use>
  void features(const Proposals& units, Activation activation, int threads, const Control& control, Use&& use) const {
    const std::int64_t lanes = kernels_.rows, strips = cpu::ceil_divide(rows_, lanes);
    const std::int64_t padded = cpu::padded_units(kernels_, units.count);
    AlignedBuffer<T> weights(padded * width_), biases = AlignedBuffer<T>::zeroed(padded);
    cpu::pack_weights(kernels_, units.weights.data(), units.count, width_, control, weights.data());
    for (std::int64_t j = 0; j < units.count; ++j)
      biases.data()[j] = static_cast<T>(units.biases[static_cast<std::size_t>(j)]);
    const cpu::PackedLayer<T> layer{width_, units.count, activation, weights.data(), biases.data()};
    std::vector<AlignedBuffer<T>> scratch(static_cast<std::size_t>(threads));
    parallel_for(items(), threads, Control{{}, control.stop}, "", [&](std::int64_t item, int thread) {
      AlignedBuffer<T>& values = scratch[static_cast<std::size_t>(thread)];
      if (values.size() == 0) values = AlignedBuffer<T>(padded * lanes);
      for (std::int64_t t = item * kStripsPerItem; t < std::min(strips, (item + 1) * kStripsPerItem); ++t) {
        kernels_.dense(layer, strips_.data() + t * width_ * lanes, values.data());
        use(item, t * lanes, std::min(lanes, rows_ - t * lanes), values.data());
      }
    });
  }

  std::int64_t items() const { return cpu::ceil_divide(cpu::ceil_divide(rows_, kernels_.rows), kStripsPerItem); }
  std::int64_t lanes() const { return kernels_.rows; }

 private:
  const cpu::SectionKernels<T>& kernels_;
  std::int64_t rows_;
  std::int64_t width_;
  AlignedBuffer<T> strips_;
};

Pixels choose_pixels(const Dataset& data, std::int64_t features) {
  const std::int64_t stride = cpu::ceil_divide(data.size() * features * 8, kPixelBytes);
  Pixels pixels;
  for (std::int64_t n = stride / 2; n < data.size(); n += stride, ++pixels.count) {
    const auto point = data.input(n);
    pixels.points.insert(pixels.points.end(), point.begin(), point.end());
    for (std::int64_t k = 0; k < data.outputs(); ++k) pixels.targets.push_back(data.target(n, k));
  }
  return pixels;
}

/// Activations (count, width) below the last hidden layer, by plain loops: the layers are narrow.
std::vector<double> carrier_values(const Network& network, std::span<const double> theta, const Pixels& pixels,
                                   int threads) {
  const std::int64_t last_hidden = network.depth() - 2;
  const auto width = static_cast<std::size_t>(network.width(last_hidden - 1));
  std::vector<double> result(static_cast<std::size_t>(pixels.count) * width);
  const auto rank = static_cast<std::size_t>(network.inputs());
  parallel_for(cpu::ceil_divide(pixels.count, 256), threads, [&](std::int64_t item, int) {
    for (std::int64_t n = item * 256; n < std::min(pixels.count, (item + 1) * 256); ++n) {
      const auto first = pixels.points.begin() + n * static_cast<std::int64_t>(rank);
      std::vector<double> a(first, first + static_cast<std::ptrdiff_t>(rank));
      for (std::int64_t l = 0; l < last_hidden; ++l) {
        const auto view = network.view(theta, l);
        const Activation activation = lossatlas::activation(network.layer(l));
        std::vector<double> next(view.bias.begin(), view.bias.end());
        for (std::size_t j = 0; j < next.size(); ++j) {
          const auto row = view.weight.row(static_cast<std::int64_t>(j));
          next[j] = activate(activation, std::inner_product(row.begin(), row.end(), a.begin(), next[j]));
        }
        a = std::move(next);
      }
      std::copy(a.begin(), a.end(), result.begin() + n * static_cast<std::int64_t>(width));
    }
  });
  return result;
}

/// Draws bumps (ridges if there is a single hidden layer) where the residual is large.
class Proposer {
 public:
  Proposer(const RidgeBank& bank, std::int64_t rank, const PlacedOptions& options)
      : bank_(bank), rank_(rank), options_(options), random_(options.seed, 0xb0) {}

  Proposals draw(const Pixels& pixels, std::span<const double> residual, std::int64_t outputs) {
    const std::vector<double> cumulative = weights_of(pixels, residual, outputs);
    Proposals result{kPool, bank_.width(), std::vector<double>(static_cast<std::size_t>(kPool * bank_.width()), 0.0),
                     std::vector<double>(kPool, 0.0)};
    for (std::int64_t i = 0; i < kPool; ++i) {
      const auto at = std::upper_bound(cumulative.begin(), cumulative.end(), random_.uniform() * cumulative.back());
      const std::int64_t pixel = std::min<std::int64_t>(at - cumulative.begin(), pixels.count - 1);
      std::vector<double> centre;
      for (std::int64_t d = 0; d < rank_; ++d) {
        const double jitter = options_.spacing * random_.uniform(-0.5, 0.5);
        centre.push_back(pixels.points[static_cast<std::size_t>(pixel * rank_ + d)] + jitter);
      }
      const auto weights =
          std::span(result.weights)
              .subspan(static_cast<std::size_t>(i * result.width), static_cast<std::size_t>(result.width));
      double& bias = result.biases[static_cast<std::size_t>(i)];
      bank_.usable() ? bump(centre, weights, bias) : ridge(centre, weights, bias);
    }
    return result;
  }

 private:
  static std::vector<double> weights_of(const Pixels& pixels, std::span<const double> residual, std::int64_t outputs) {
    double total = 0;
    for (const double r : residual) total += r * r;
    std::vector<double> cumulative;
    double sum = 0;
    for (std::int64_t n = 0; n < pixels.count; ++n) {
      double square = 0;
      for (std::int64_t k = 0; k < outputs; ++k) {
        const double r = residual[static_cast<std::size_t>(n * outputs + k)];
        square += r * r;
      }
      sum += (1 - kAnywhere) * (total > 0 ? square / total : 0) + kAnywhere / static_cast<double>(pixels.count);
      cumulative.push_back(sum);
    }
    return cumulative;
  }

  void bump(std::span<const double> centre, std::span<double> weights, double& bias) {
    const double widest = std::max(kWidest, 4 * options_.finest);
    const double width = std::exp(random_.uniform(std::log(options_.finest), std::log(widest)));
    std::vector<double> curvature(static_cast<std::size_t>(bank_.directions()));
    const auto narrow = static_cast<std::size_t>(random_.below(bank_.directions()));
    for (std::size_t o = 0; o < curvature.size(); ++o) {
      const double elongation = std::exp(random_.uniform(0, std::log(kMostElongated)));
      const double axis = width * (o == narrow ? 1 : elongation);
      curvature[o] = 1 / (axis * axis);
    }
    bias = random_.uniform(-0.5, 2);
    bank_.subtract_wells(centre, curvature, weights, bias);
  }

  void ridge(std::span<const double> centre, std::span<double> weights, double& bias) {
    const std::span<double> normal = weights.first(static_cast<std::size_t>(rank_));
    double length = 0;
    for (double& w : normal) {
      w = random_.normal();
      length += w * w;
    }
    const double slope = std::exp(random_.uniform(std::log(4.0), std::log(std::max(8.0, 1 / options_.finest))));
    for (std::size_t i = 0; i < normal.size(); ++i) {
      normal[i] *= slope / std::sqrt(length);
      bias -= normal[i] * centre[i];
    }
  }

  const RidgeBank& bank_;
  std::int64_t rank_;
  const PlacedOptions& options_;
  Random random_;
};

/// ‖kᵀr‖²/‖k − mean k‖² of every proposal, in single precision: good enough for a short list.
std::vector<double> quick_scores(const StripInputs<float>& inputs, const Proposals& pool, Activation activation,
                                 std::span<const double> residual, std::int64_t outputs, std::int64_t rows, int threads,
                                 const Control& control) {
  const std::int64_t moments = 2 + outputs, lanes = inputs.lanes();
  std::vector<double> sums(static_cast<std::size_t>(inputs.items() * pool.count * moments), 0.0);
  std::vector<float> r(static_cast<std::size_t>((rows + lanes) * outputs), 0.0f);  // (K, rows), padded
  for (std::int64_t n = 0; n < rows; ++n) {
    for (std::int64_t k = 0; k < outputs; ++k) {
      r[static_cast<std::size_t>(k * (rows + lanes) + n)] =
          static_cast<float>(residual[static_cast<std::size_t>(n * outputs + k)]);
    }
  }
  inputs.features(pool, activation, threads, control,
                  [&](std::int64_t item, std::int64_t first, std::int64_t valid, const float* values) {
                    double* sum = sums.data() + item * pool.count * moments;
                    for (std::int64_t j = 0; j < pool.count; ++j, sum += moments) {
                      const float* v = values + j * lanes;
                      float total = 0, square = 0;
                      for (std::int64_t n = 0; n < valid; ++n) total += v[n], square += v[n] * v[n];
                      sum[0] += total;
                      sum[1] += square;
                      for (std::int64_t k = 0; k < outputs; ++k) {
                        const float* residual_row = r.data() + k * (rows + lanes) + first;
                        float product = 0;
                        for (std::int64_t n = 0; n < valid; ++n) product += v[n] * residual_row[n];
                        sum[2 + k] += product;
                      }
                    }
                  });
  std::vector<double> scores;
  for (std::int64_t j = 0; j < pool.count; ++j) {
    std::vector<double> total(static_cast<std::size_t>(moments), 0.0);
    for (std::int64_t item = 0; item < inputs.items(); ++item) {
      for (std::int64_t m = 0; m < moments; ++m) {
        total[static_cast<std::size_t>(m)] += sums[static_cast<std::size_t>((item * pool.count + j) * moments + m)];
      }
    }
    const double norm = total[1] - total[0] * total[0] / static_cast<double>(rows);
    double product = 0;
    for (std::int64_t k = 0; k < outputs; ++k)
      product += total[static_cast<std::size_t>(2 + k)] * total[static_cast<std::size_t>(2 + k)];
    scores.push_back(norm > kLeastNorm && std::isfinite(product) ? product / norm : 0);
  }
  return scores;
}

/// The features (rows, count) of proposals in double.
std::vector<double> exact_columns(const StripInputs<double>& inputs, const Proposals& units, Activation activation,
                                  std::int64_t rows, int threads, const Control& control) {
  std::vector<double> columns(static_cast<std::size_t>(rows * units.count));
  inputs.features(units, activation, threads, control,
                  [&](std::int64_t, std::int64_t first, std::int64_t valid, const double* values) {
                    for (std::int64_t n = 0; n < valid; ++n) {
                      for (std::int64_t j = 0; j < units.count; ++j) {
                        columns[static_cast<std::size_t>((first + n) * units.count + j)] =
                            values[j * inputs.lanes() + n];
                      }
                    }
                  });
  return columns;
}

}  // namespace

std::vector<double> placed_features(const Network& network, const Dataset& data, const PlacedOptions& options) {
  std::vector<double> theta = even_features(network, {.first = 4, .upper = 1.5}, options.seed);
  const RidgeBank bank(network, theta);
  const std::int64_t last_hidden = network.depth() - 2, outputs = network.outputs();
  const Dense layer = dense_chain(network, "placed_features")[static_cast<std::size_t>(last_hidden)];
  const auto view = network.view(std::span<double>(theta), last_hidden);
  const Pixels pixels = choose_pixels(data, layer.out + 1);
  const std::vector<double> carriers = carrier_values(network, theta, pixels, options.threads);
  const StripInputs<float> quick(carriers, pixels.count, layer.in);
  const StripInputs<double> exact(carriers, pixels.count, layer.in);
  const cpu::SingleThreadedBlas guard;
  FeatureSelection selection(pixels, outputs, layer.out, kRidge, options.threads, options.control);

  const auto append_columns = [&](const Proposals& units, std::int64_t wanted, bool all) {
    const std::vector<double> columns =
        exact_columns(exact, units, layer.activation, pixels.count, options.threads, options.control);
    const Candidates candidates = selection.candidates(columns, units.count);
    std::vector<std::int64_t> picked(static_cast<std::size_t>(units.count));
    std::iota(picked.begin(), picked.end(), 0);
    if (!all) picked = pick_best(candidates, outputs, wanted, kLeastNorm);
    if (!picked.empty()) selection.append(candidates, picked);
    return picked;
  };

  std::int64_t placed = std::min(options.even_units, layer.out);
  Proposals even{placed,
                 layer.in,
                 {view.weight.data, view.weight.data + placed * layer.in},
                 {view.bias.begin(), view.bias.begin() + placed}};
  if (placed > 0) append_columns(even, placed, true);
  Proposer proposer(bank, network.inputs(), options);
  const std::int64_t start = placed;
  for (std::int64_t round = 0; round < kRounds && placed < layer.out; ++round) {
    const std::int64_t wanted = (layer.out - start) * (round + 1) / kRounds + start - placed;
    if (wanted == 0) continue;
    const Proposals pool = proposer.draw(pixels, selection.residual(), outputs);
    const std::vector<double> scores = quick_scores(quick, pool, layer.activation, selection.residual(), outputs,
                                                    pixels.count, options.threads, options.control);
    std::vector<std::int64_t> order(static_cast<std::size_t>(pool.count));
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&](std::int64_t a, std::int64_t b) {
      return scores[static_cast<std::size_t>(a)] > scores[static_cast<std::size_t>(b)];
    });
    order.resize(static_cast<std::size_t>(std::min(pool.count, kShortlist * wanted)));
    const Proposals shortlist = pool.chosen(order);
    for (const std::int64_t j : append_columns(shortlist, wanted, false)) {
      std::copy_n(shortlist.weights.begin() + j * layer.in, layer.in, view.weight.row(placed).begin());
      view.bias[static_cast<std::size_t>(placed++)] = shortlist.biases[static_cast<std::size_t>(j)];
    }
    if (options.control.progress) options.control.progress({"features", round + 1, kRounds});
  }
  return theta;  // units that no round filled keep their even weights
}

}  // namespace lossatlas
