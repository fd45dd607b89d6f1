#include "cpu/hessian_factors.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/parallel.hpp"
#include "cpu/elementwise.hpp"
#include "layers/dense.hpp"
#include "model/graph.hpp"

namespace lossatlas::cpu {
namespace {

constexpr std::int64_t kDepth = 1024;                           // rows of one product
constexpr std::int64_t kFactorEntries = std::int64_t{1} << 26;  // 512 MiB
constexpr std::int64_t kSlab = 32;                              // samples whose factors one thread computes at a time

/// Entries of all factors of one sample, including the pass's values for each unit.
std::int64_t sample_entries(const std::vector<PlacedLayer>& layers, std::int64_t parameters, HessianMethod method) {
  std::int64_t sum = 0, below = 0;
  for (const PlacedLayer& placed : layers) {
    const std::int64_t out = placed.layer.out;
    sum += placed.augmented() + 4 * out;
    if (method == HessianMethod::blocks) sum += (2 * below + out) * out;
    below += out;
  }
  return sum + (method == HessianMethod::jacobian ? layers.back().layer.out * parameters : 0);
}

/// block (C, C) ← diag p − ppᵀ of one head with outputs `logits`. 1 − p_c is summed from the others, hence exact near
/// 1.
void softmax_curvature(const double* logits, std::int64_t classes, std::int64_t stride, double* block) {
  const auto norm = scalar::logsumexp(logits, classes, 1);
  std::vector<double> p(static_cast<std::size_t>(classes));
  for (std::int64_t c = 0; c < classes; ++c) p[static_cast<std::size_t>(c)] = std::exp(norm.log_share(logits[c]));
  for (std::int64_t c = 0; c < classes; ++c) {
    double others = 0;
    for (std::int64_t d = 0; d < classes; ++d) {
      if (d == c) continue;
      others += p[static_cast<std::size_t>(d)];
      block[c * stride + d] = -p[static_cast<std::size_t>(c)] * p[static_cast<std::size_t>(d)];
    }
    block[c * stride + c] = p[static_cast<std::size_t>(c)] * others;
  }
}

/// block (C, C) ← F with FᵀF = diag p − ppᵀ: diag(√p) (I − 1pᵀ).
void softmax_curvature_root(const double* logits, std::int64_t classes, std::int64_t stride, double* block) {
  const auto norm = scalar::logsumexp(logits, classes, 1);
  for (std::int64_t c = 0; c < classes; ++c) {
    const double root = std::exp(norm.log_share(logits[c]) / 2);
    double others = 0;
    for (std::int64_t d = 0; d < classes; ++d) {
      if (d == c) continue;
      const double p = std::exp(norm.log_share(logits[d]));
      others += p;
      block[c * stride + d] = -root * p;
    }
    block[c * stride + c] = root * others;
  }
}

/// block (H·C, H·C) ← the curvature of one sample's loss, or its root, in the outputs `logits`; softmax(logits, C, H·C,
/// block) computes that of a head.
template <class Softmax>
void fill_output_block(const Problem& problem, const double* logits, Softmax&& softmax, double* block) {
  const std::int64_t outputs = problem.network.outputs(), classes = problem.network.outputs_per_head();
  std::fill_n(block, outputs * outputs, 0.0);
  for (std::int64_t c = 0; c < outputs; c += problem.loss == Loss::mean_squared_error ? 1 : classes) {
    double* diagonal = block + c * outputs + c;
    if (problem.loss == Loss::mean_squared_error) {
      *diagonal = 1;
    } else {
      softmax(logits + c, classes, outputs, diagonal);
    }
  }
}

}  // namespace

std::vector<PlacedLayer> placed_layers(const Network& network) {
  std::vector<PlacedLayer> placed;
  std::int64_t offset = 0;
  for (const Dense& dense : dense_chain(network, "hessian")) {
    placed.push_back({dense, offset, offset + dense.out * dense.in});
    offset += placed.back().parameters();
  }
  return placed;
}

std::int64_t HessianFactors::capacity(const Problem& problem, HessianMethod method) {
  const std::int64_t parameters = problem.network.parameter_count();
  const std::int64_t fit = kFactorEntries / sample_entries(placed_layers(problem.network), parameters, method);
  const std::int64_t depth = method == HessianMethod::jacobian ? kDepth / problem.network.outputs() : kDepth / 2;
  return std::clamp<std::int64_t>(std::min(fit, depth), 1, problem.data.size());
}

std::int64_t HessianFactors::bytes(const Problem& problem, HessianMethod method) {
  const std::vector<PlacedLayer> layers = placed_layers(problem.network);
  const std::int64_t samples = capacity(problem, method);
  const std::int64_t passes = std::min<std::int64_t>(problem.threads, (samples + kSlab - 1) / kSlab);
  std::int64_t units = 0;
  for (const PlacedLayer& placed : layers) units += placed.layer.out;
  return 8 * (samples * sample_entries(layers, problem.network.parameter_count(), method) +
              passes * std::min(kSlab, problem.data.size()) * 5 * units);
}

ChunkFactors::ChunkFactors(const Network& network, HessianMethod method, std::int64_t samples)
    : layers_(placed_layers(network)),
      samples_(samples),
      curvature_(layers_.size() * layers_.size()),
      sensitivity_(layers_.size() * layers_.size()) {
  const std::int64_t parameters = network.parameter_count();
  memory_ = Scratch(samples * sample_entries(layers_, parameters, method));
  double* next = memory_.data();
  const auto take = [&](std::int64_t entries) { return std::exchange(next, next + samples * entries); };
  for (std::size_t l = 0; l < layers_.size(); ++l) {
    const std::int64_t out = layers_[l].layer.out;
    input_.push_back(take(layers_[l].augmented()));
    for (auto* values : {&slope_, &delta_, &bend_}) values->push_back(take(out));
    if (method == HessianMethod::jacobian) continue;
    for (std::size_t k = 0; k <= l; ++k) {
      const std::int64_t size = layers_[k].layer.out * out;
      curvature_[pair(k, l)] = take(size);
      if (k < l && l + 1 < layers_.size()) sensitivity_[pair(k, l)] = take(size);
    }
  }
  if (method == HessianMethod::jacobian) jacobian_ = {take(network.outputs() * parameters), parameters};
}

HessianFactors::HessianFactors(const Problem& problem, std::span<const double> theta, HessianPart part,
                               HessianMethod method)
    : problem_(problem),
      theta_(theta),
      part_(part),
      method_(method),
      chunk_(problem.network, method, capacity(problem, method)),
      layers_(chunk_.layers()) {}

void HessianFactors::compute(std::int64_t first, std::int64_t rows, int threads, const Control& control) {
  rows_ = rows;
  Passes passes(problem_, theta_, {.capacity = kSlab, .slopes = true}, control);
  parallel_for((rows + kSlab - 1) / kSlab, threads, control, "", [&](std::int64_t slab, int thread) {
    const std::int64_t begin = slab * kSlab, count = std::min(kSlab, rows - begin);
    Pass& pass = passes.of(thread);
    pass.forward(first + begin, count);
    take_forward(pass, begin);
    if (part_ == HessianPart::full) take_backward(pass, begin);
    if (method_ == HessianMethod::jacobian) return jacobian_rows(pass.outputs(), begin, count, control);
    curvature_blocks(pass.outputs(), begin, count, control);
    if (part_ == HessianPart::full) sensitivity_blocks(begin, count, control);
  });
}

void HessianFactors::take_forward(const ForwardPass& pass, std::int64_t begin) {
  for (std::size_t l = 0; l < layers_.size(); ++l) {
    const Dense& layer = layers_[l].layer;
    const auto index = static_cast<std::int64_t>(l);
    for (std::int64_t r = 0; r < pass.rows(); ++r) {
      double* input = chunk_.input(l, begin + r);
      std::copy_n(pass.input(index).at(r, 0).data, layer.in, input);
      if (layer.bias) input[layer.in] = 1;
    }
    std::copy_n(pass.slope(index).data, pass.rows() * layer.out, chunk_.slope(l, begin));
  }
}

void HessianFactors::take_backward(Pass& pass, std::int64_t begin) {
  pass.fill_loss_cotangent(problem_.loss == Loss::mean_squared_error ? 2 : 1);
  pass.pull_down_bends();
  for (std::size_t l = 0; l < layers_.size(); ++l) {
    const std::int64_t out = layers_[l].layer.out, index = static_cast<std::int64_t>(l);
    std::copy_n(pass.delta(index).data, pass.rows() * out, chunk_.delta(l, begin));
    if (l + 1 < layers_.size()) std::copy_n(pass.bend(index).data, pass.rows() * out, chunk_.bend(l, begin));
  }
}

/// Computes the block of the outputs, then S_{k−1,l} = D_{k−1} W_kᵀ S_kl and, from S_{l−1,l}, the diagonal block below.
void HessianFactors::curvature_blocks(ConstMatrix logits, std::int64_t begin, std::int64_t rows,
                                      const Control& control) {
  const std::size_t last = layers_.size() - 1;
  for (std::int64_t r = 0; r < rows; ++r) {
    fill_output_block(problem_, logits.at(r, 0).data, softmax_curvature, chunk_.curvature(last, last, begin + r));
  }
  for (std::size_t l = layers_.size(); l-- > 0;) {
    const std::int64_t units = layers_[l].layer.out;
    for (std::size_t k = l; k-- > 0;) {
      check_stop(control);
      const std::int64_t out = layers_[k].layer.out, above = layers_[k + 1].layer.out;
      double* block = chunk_.curvature(k, l, begin);
      const ConstMatrix next{chunk_.curvature(k + 1, l, begin), above};
      vjp_input(Cpu{}, layers_[k + 1].layer, view(k + 1), rows * units, next, 0, {block, out});
      for (std::int64_t r = 0; r < rows * units; ++r) {
        multiply(out, chunk_.slope(k, begin + r / units), block + r * out);
      }
    }
    if (l > 0) lower_diagonal_block(l - 1, begin, rows);
  }
}

/// S_ll = D_l W_{l+1}ᵀ S_{l,l+1}ᵀ + diag(φ''(z_l) ⊙ W_{l+1}ᵀ δ_{l+1}).
void HessianFactors::lower_diagonal_block(std::size_t l, std::int64_t begin, std::int64_t rows) {
  const std::int64_t out = layers_[l].layer.out, above = layers_[l + 1].layer.out;
  for (std::int64_t n = begin; n < begin + rows; ++n) {
    double* block = chunk_.curvature(l, l, n);
    gemm(Op::transpose, Op::none, out, out, above, 1, matrix(view(l + 1).weight), {chunk_.curvature(l, l + 1, n), out},
         0, {block, out});
    for (std::int64_t i = 0; i < out; ++i) {
      for (std::int64_t p = 0; p < out; ++p) block[i * out + p] *= chunk_.slope(l, n)[i];
      if (part_ == HessianPart::full) block[i * out + i] += chunk_.bend(l, n)[i];
    }
  }
}

/// J_{l,k} = D_l W_l J_{l−1,k} for every hidden layer l above k.
void HessianFactors::sensitivity_blocks(std::int64_t begin, std::int64_t rows, const Control& control) {
  for (std::size_t k = 0; k + 2 < layers_.size(); ++k) {
    const std::int64_t units = layers_[k].layer.out;
    std::vector<double> lowest(static_cast<std::size_t>(rows * units * units));
    for (std::int64_t r = 0; r < rows * units; ++r) {
      lowest[static_cast<std::size_t>(r * units + r % units)] = chunk_.slope(k, begin)[r];
    }
    ConstMatrix below{lowest.data(), units};
    for (std::size_t l = k + 1; l + 1 < layers_.size(); ++l) {
      check_stop(control);
      const Dense& layer = layers_[l].layer;
      double* block = chunk_.sensitivity(k, l, begin);
      gemm(Op::none, Op::transpose, rows * units, layer.out, layer.in, 1, below, matrix(view(l).weight), 0,
           {block, layer.out});
      for (std::int64_t r = 0; r < rows * units; ++r) {
        multiply(layer.out, chunk_.slope(l, begin + r / units), block + r * layer.out);
      }
      below = {block, layer.out};
    }
  }
}

void HessianFactors::jacobian_rows(ConstMatrix logits, std::int64_t begin, std::int64_t rows, const Control& control) {
  const std::int64_t outputs = problem_.network.outputs();
  std::vector<double> cotangents(static_cast<std::size_t>(rows * outputs * outputs)), next;
  for (std::int64_t r = 0; r < rows; ++r) {
    double* block = cotangents.data() + r * outputs * outputs;
    fill_output_block(problem_, logits.at(r, 0).data, softmax_curvature_root, block);
  }
  for (std::size_t l = layers_.size() - 1;; --l) {
    check_stop(control);
    write_jacobian(l, begin, rows, cotangents.data());
    if (l == 0) return;
    const std::int64_t out = layers_[l].layer.out, below = layers_[l - 1].layer.out;
    next.resize(static_cast<std::size_t>(rows * outputs * below));
    vjp_input(Cpu{}, layers_[l].layer, view(l), rows * outputs, {cotangents.data(), out}, 0, {next.data(), below});
    for (std::int64_t r = 0; r < rows * outputs; ++r) {
      multiply(below, chunk_.slope(l - 1, begin + r / outputs), next.data() + r * below);
    }
    cotangents.swap(next);
  }
}

/// Writes the columns of layer l: cotangent[i] ã[j].
void HessianFactors::write_jacobian(std::size_t l, std::int64_t begin, std::int64_t rows, const double* cotangents) {
  const PlacedLayer& placed = layers_[l];
  const std::int64_t outputs = problem_.network.outputs(), in = placed.layer.in, out = placed.layer.out;
  for (std::int64_t r = 0; r < rows * outputs; ++r, cotangents += out) {
    double* entries = chunk_.jacobian().at(begin * outputs + r, 0).data;
    const double* a = chunk_.input(l, begin + r / outputs);
    for (std::int64_t i = 0; i < out; ++i) {
      double* weight_row = entries + placed.weight + i * in;
      for (std::int64_t j = 0; j < in; ++j) weight_row[j] = cotangents[i] * a[j];
    }
    if (placed.layer.bias) std::copy_n(cotangents, out, entries + placed.bias);
  }
}

}  // namespace lossatlas::cpu
