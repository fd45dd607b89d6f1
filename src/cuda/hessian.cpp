#include "cuda/hessian.hpp"

#include <algorithm>
#include <variant>
#include <vector>

#include <lossatlas/error.hpp>

#include "../kernels/hessian.hpp"
#include "base/check.hpp"
#include "base/parallel.hpp"
#include "cuda/pass.hpp"

namespace lossatlas::cuda {
namespace {

constexpr std::int64_t kFactorEntries = std::int64_t{1} << 27;  // 1 GiB
constexpr double kMostBytes = 0x1p62;
constexpr double kRest = 0.75;  // the Jacobian must cost at most this share of the blocks, to pay for its sparse rest

/// Rows of the tiles for a group of `rows` rows, empty ones included.
double padded(std::int64_t rows) {
  const std::int64_t tile = kernels::tile_rows(rows);
  return static_cast<double>((rows + tile - 1) / tile * tile);
}

/// S and J of one chunk; k ≤ l are indices of layers.
class HessianFactors {
 public:
  HessianFactors(Workspace& workspace, const Problem& problem, const double* theta, HessianPart part)
      : workspace_(workspace),
        full_(part == HessianPart::full),
        jacobian_(hessian_method(problem.network(), part) == HessianMethod::jacobian),
        pass_(workspace, problem, theta, PassDetail::curvature, capacity(problem, part)),
        curvature_(pass_.depth() * pass_.depth()),
        sensitivity_(pass_.depth() * pass_.depth()) {
    const std::int64_t samples = capacity(problem, part);
    for (std::size_t l = jacobian_ ? pass_.depth() - 1 : 0; l < pass_.depth(); ++l) {
      for (std::size_t k = 0; k <= l; ++k) {
        const std::int64_t size = samples * pass_.out(k) * pass_.out(l);
        curvature_[pair(k, l)] = DeviceBuffer<double>(workspace.memory(), size);
        if (full_ && !jacobian_ && has_sensitivity(k, l, pass_.depth())) {
          sensitivity_[pair(k, l)] = DeviceBuffer<double>(workspace.memory(), size);
        }
      }
    }
  }

  /// Samples of a full chunk, and the bytes of its factors; both depend on the problem only.
  static std::int64_t capacity(const Problem& problem, HessianPart part) {
    return std::clamp<std::int64_t>(std::min(kFactorEntries / sample_entries(problem, part), kChunkRows), 1,
                                    problem.samples());
  }
  static double bytes(const Problem& problem, HessianPart part) {
    const std::vector<kernels::PlacedLayer> layers = placed_layers(problem.network());
    const bool jacobian = hessian_method(problem.network(), part) == HessianMethod::jacobian;
    std::int64_t entries = curvature_entries(problem), below = 0;
    for (std::size_t l = 0; l < layers.size(); ++l) {
      const bool last = l + 1 == layers.size(), sensitive = part == HessianPart::full && !jacobian && !last;
      if (last || !jacobian) entries += ((sensitive ? 2 : 1) * below + layers[l].out) * layers[l].out;
      below += layers[l].out;
    }
    return 8 * static_cast<double>(capacity(problem, part)) * static_cast<double>(entries);
  }

  void compute(std::int64_t first, std::int64_t rows) {
    pass_.forward(first, rows);
    if (full_) pass_.pull_down_bends();
    const std::size_t last = pass_.depth() - 1;
    if (jacobian_) {
      LOSSATLAS_CUDA(
          kernels::launch_output_curvature_root(pass_.outputs(), curvature(last, last), workspace_.stream()));
      curvature_blocks(last);
      return;
    }
    LOSSATLAS_CUDA(kernels::launch_output_curvature(pass_.outputs(), curvature(last, last), workspace_.stream()));
    for (std::size_t l = pass_.depth(); l-- > 0;) {
      curvature_blocks(l);
      if (l > 0) lower_diagonal_block(l - 1);
    }
    if (!full_) return;
    for (std::size_t k = 0; k + 2 < pass_.depth(); ++k) sensitivity_blocks(k);
  }

  /// Adds the blocks of the chunk to matrix (size, size), in the upper triangle.
  void add_blocks(double* matrix, std::int64_t size) const {
    for (std::size_t l = 0; l < pass_.depth(); ++l) {
      for (std::size_t k = 0; k <= l; ++k) {
        const kernels::HessianBlock block{
            pass_.placed(k), pass_.placed(l), pass_.input(k).data, pass_.input(l).data, pass_.rows(), matrix, size};
        jacobian_ ? add_gauss_newton_block(k, l, block) : add_block(k, l, block);
      }
    }
  }

 private:
  static bool has_sensitivity(std::size_t k, std::size_t l, std::size_t depth) { return k < l && l + 1 < depth; }
  std::size_t pair(std::size_t k, std::size_t l) const { return k * pass_.depth() + l; }
  /// S_kl (rows, m_l, m_k): entry (p, i) is ∂δ_l[p]/∂z_k[i].
  double* curvature(std::size_t k, std::size_t l) const { return curvature_[pair(k, l)].data(); }
  /// (rows, m_k, m_l), k < l: entry (i, q) is ∂a_l[q]/∂z_k[i].
  double* sensitivity(std::size_t k, std::size_t l) const { return sensitivity_[pair(k, l)].data(); }

  static std::int64_t sample_entries(const Problem& problem, HessianPart part) {
    const bool jacobian = hessian_method(problem.network(), part) == HessianMethod::jacobian;
    std::int64_t sum = curvature_entries(problem), below = 0;
    for (const kernels::PlacedLayer& layer : placed_layers(problem.network())) {
      sum += layer.out * (jacobian ? problem.network().outputs() : 2 * below + layer.out);
      below += layer.out;
    }
    return sum;
  }

  void add_block(std::size_t k, std::size_t l, const kernels::HessianBlock& block) const {
    kernels::CurvatureFactors factors{curvature(k, l)};
    if (full_ && k < l) {
      factors.delta = pass_.delta(l);
      factors.sensitivity = k + 1 == l ? nullptr : sensitivity(k, l - 1);
      factors.slope = pass_.slope(k);
    }
    LOSSATLAS_CUDA(kernels::launch_add_block(block, factors, workspace_.stream()));
  }

  void add_gauss_newton_block(std::size_t k, std::size_t l, const kernels::HessianBlock& block) const {
    const std::size_t last = pass_.depth() - 1;
    const kernels::OutputRows rows = pass_.outputs();
    const double weight = rows.loss == Loss::mean_squared_error ? 2 : 1;
    LOSSATLAS_CUDA(kernels::launch_add_gauss_newton_block(
        block, {curvature(k, last), curvature(l, last), pass_.out(last), weight}, workspace_.stream()));
    if (!full_ || k == last) return;
    if (k == l) {
      LOSSATLAS_CUDA(kernels::launch_add_bend(block, pass_.bend(k), workspace_.stream()));
    } else {
      LOSSATLAS_CUDA(kernels::launch_add_residuals(block, pass_.delta(l), pass_.slope(k), workspace_.stream()));
    }
  }

  /// S_kl = D_k W_{k+1}ᵀ S_{k+1,l} for k = l−1, l−2, ...
  void curvature_blocks(std::size_t l) {
    const std::int64_t rows = pass_.rows(), units = pass_.out(l);
    for (std::size_t k = l; k-- > 0;) {
      const std::int64_t out = pass_.out(k), above = pass_.out(k + 1);
      multiply(workspace_, rows * units, out, above, {curvature(k + 1, l), above}, pass_.weights(k + 1), 0,
               {curvature(k, l), out});
      LOSSATLAS_CUDA(
          kernels::launch_scale_rows(pass_.slope(k), rows, units, out, curvature(k, l), workspace_.stream()));
    }
  }

  /// S_ll = D_l W_{l+1}ᵀ S_{l,l+1}ᵀ + diag(φ''(z_l) ⊙ W_{l+1}ᵀ δ_{l+1}).
  void lower_diagonal_block(std::size_t l) {
    const std::int64_t out = pass_.out(l), above = pass_.out(l + 1);
    const double one = 1, zero = 0;
    LOSSATLAS_CUDA(cublasDgemmStridedBatched_64(workspace_.cublas(), CUBLAS_OP_N, CUBLAS_OP_T, out, out, above, &one,
                                                curvature(l, l + 1), out, out * above, pass_.weights(l + 1).data, out,
                                                0, &zero, curvature(l, l), out, out * out, pass_.rows()));
    LOSSATLAS_CUDA(kernels::launch_finish_diagonal(pass_.slope(l), full_ ? pass_.bend(l) : nullptr, pass_.rows(), out,
                                                   curvature(l, l), workspace_.stream()));
  }

  /// ∂a_l/∂z_k = D_l W_l ∂a_{l−1}/∂z_k for every hidden layer l above k.
  void sensitivity_blocks(std::size_t k) {
    const std::int64_t rows = pass_.rows(), units = pass_.out(k);
    LOSSATLAS_CUDA(kernels::launch_first_sensitivity(pass_.weights(k + 1).data, pass_.slope(k), pass_.slope(k + 1),
                                                     rows, units, pass_.out(k + 1), sensitivity(k, k + 1),
                                                     workspace_.stream()));
    for (std::size_t l = k + 2; l + 1 < pass_.depth(); ++l) {
      const std::int64_t in = pass_.out(l - 1), out = pass_.out(l);
      multiply_by_transposed(workspace_, rows * units, out, in, {sensitivity(k, l - 1), in}, pass_.weights(l), 0,
                             {sensitivity(k, l), out});
      LOSSATLAS_CUDA(
          kernels::launch_scale_rows(pass_.slope(l), rows, units, out, sensitivity(k, l), workspace_.stream()));
    }
  }

  Workspace& workspace_;
  bool full_;
  bool jacobian_;
  Pass pass_;
  std::vector<DeviceBuffer<double>> curvature_, sensitivity_;  ///< by pair of layers
};

/// Checks, before anything is computed, that `needed` bytes for Hessians (size, size) and the work on them are free.
void require_memory(Workspace& workspace, std::int64_t size, double needed) {
  workspace.cublas(), workspace.cusolver();  // the handles' own memory is not free either
  std::size_t free = 0, total = 0;
  LOSSATLAS_CUDA(cudaMemGetInfo(&free, &total));
  if (needed <= static_cast<double>(free)) return;
  const auto bytes = static_cast<std::int64_t>(std::min(needed, kMostBytes));
  throw OutOfMemory(message("hessian", "received ", size, " parameters, whose Hessian takes ", bytes,
                            " bytes with all that is done to it, expected at most the ", free,
                            " that are free on the device; use HessianOperator, which does not form it"),
                    bytes);
}

}  // namespace

double assembly_bytes(const Problem& problem, HessianPart part, std::int64_t count) {
  const auto size = static_cast<double>(problem.network().parameter_count());
  const double work =
      is_dense_chain(problem.network()) ? HessianFactors::bytes(problem, part) : unit_products_bytes(problem);
  return 8 * size + std::max(work, 8 * static_cast<double>(count - 1) * size);
}

HessianMethod hessian_method(const Network& network, HessianPart part) {
  const std::vector<kernels::PlacedLayer> layers = placed_layers(network);
  if (part == HessianPart::full && layers.size() > 2) return HessianMethod::blocks;
  double blocks = 0;
  for (std::size_t k = 0; k < layers.size(); ++k) {
    const double rows = static_cast<double>(layers[k].out) * padded(layers[k].augmented());
    for (std::size_t l = k; l < layers.size(); ++l) {
      blocks += (l == k ? 1 : 2) * rows * static_cast<double>(layers[l].parameters());
    }
  }
  const auto parameters = static_cast<double>(network.parameter_count());
  const double jacobian = static_cast<double>(network.outputs()) * parameters * parameters;
  return jacobian <= kRest * blocks ? HessianMethod::jacobian : HessianMethod::blocks;
}

DeviceBuffer<double> hessian_memory(Workspace& workspace, const Problem& problem, double rest, std::int64_t count) {
  const std::int64_t size = problem.network().parameter_count();
  const double entries = static_cast<double>(count) * static_cast<double>(size) * static_cast<double>(size);
  require_memory(workspace, size, 8 * entries + rest);
  return {workspace.memory(), count * size * size};
}

void assemble_hessians(Workspace& workspace, const Problem& problem, std::span<const double> thetas, HessianPart part,
                       const Control& control, double* matrices) {
  const std::int64_t size = problem.network().parameter_count(), samples = problem.samples();
  const auto entries = static_cast<std::int64_t>(thetas.size());
  require(entries > 0 && entries % size == 0, "hessian", "received ", entries, " parameters, expected ", size);
  Memory& memory = workspace.memory();
  const auto point = [&](std::int64_t at) {  // always in the same memory
    return workspace.parameters(thetas.subspan(static_cast<std::size_t>(at), static_cast<std::size_t>(size)));
  };
  if (!is_dense_chain(problem.network())) {
    for (std::int64_t at = 0; at < entries; at += size) {
      multiply_unit_vectors(workspace, problem, point(at), part, control, matrices + at * size);
      LOSSATLAS_CUDA(
          kernels::launch_mirror(matrices + at * size, size, static_cast<double>(samples), workspace.stream()));
    }
    return;
  }
  fill_zero(memory, matrices, entries * size);
  HessianFactors factors(workspace, problem, point(0), part);
  const std::int64_t step = HessianFactors::capacity(problem, part);
  for (std::int64_t at = 0; at < entries; at += size) {
    double* matrix = matrices + at * size;
    point(at);
    for (std::int64_t first = 0; first < samples; first += step) {
      check_stop(control);
      factors.compute(first, std::min(step, samples - first));
      factors.add_blocks(matrix, size);
      synchronise(memory);  // so that a stop or a progress report refers to finished work
      if (control.progress) control.progress({"hessian", std::min(samples, first + step), samples});
    }
    LOSSATLAS_CUDA(kernels::launch_mirror(matrix, size, static_cast<double>(samples), workspace.stream()));
  }
}

void require_finite_matrices(Workspace& workspace, const double* matrices, std::int64_t count, std::int64_t n,
                             HessianCaller caller) {
  Memory& memory = workspace.memory();
  const DeviceBuffer<std::int64_t> columns(memory, count * n);
  for (std::int64_t i = 0; i < count; ++i) {
    LOSSATLAS_CUDA(
        kernels::launch_find_not_finite(matrices + i * n * n, n, columns.data() + i * n, workspace.stream()));
  }
  std::vector<std::int64_t> found(static_cast<std::size_t>(count * n));
  download(memory, columns.data(), std::span(found));
  const auto place = std::find_if(found.begin(), found.end(), [&](std::int64_t column) { return column < n; });
  if (place == found.end()) return;
  const std::int64_t row = place - found.begin();  // counted through all matrices
  double entry = 0;
  download(memory, matrices + row * n + *place, std::span(&entry, 1));
  if (caller.point >= 0) caller.point += row / n;
  throw NonFiniteHessian(message(caller.function, "received ", caller.parameters(), " whose Hessian has the entry ",
                                 entry, " at (", row % n, ", ", *place,
                                 "), expected a finite one; check that the loss is finite there"));
}

void hessian(Workspace& workspace, const Problem& problem, std::span<const double> theta, HessianPart part,
             const Control& control, std::span<double> hessian) {
  const std::int64_t size = problem.network().parameter_count();
  require(static_cast<std::int64_t>(hessian.size()) == size * size, "hessian", "received a result with ",
          hessian.size(), " entries, expected ", size * size);
  require(static_cast<std::int64_t>(theta.size()) == size, "hessian", "received ", theta.size(),
          " parameters, expected ", size);
  const DeviceBuffer<double> matrix = hessian_memory(workspace, problem, assembly_bytes(problem, part));
  assemble_hessians(workspace, problem, theta, part, control, matrix.data());
  download(workspace.memory(), matrix.data(), hessian);
}

}  // namespace lossatlas::cuda
