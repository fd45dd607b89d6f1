#include <algorithm>
#include <vector>

#include "../kernels/hessian.hpp"
#include "base/check.hpp"
#include "base/parallel.hpp"
#include "cuda/hessian.hpp"
#include "cuda/hessian_pass.hpp"

namespace lossatlas::cuda {
namespace {

constexpr std::int64_t kBatchEntries = std::int64_t{1} << 22;  // 32 MiB of vectors at a time, plus their products

/// Forward over reverse, for one chunk at a time.
class ProductPass {
 public:
  ProductPass(Workspace& workspace, const Problem& problem, const double* theta, HessianPart part)
      : workspace_(workspace),
        full_(part == HessianPart::full),
        pass_(workspace, problem, theta, std::min(kHessianRows, problem.samples())) {
    const std::int64_t capacity = std::min(kHessianRows, problem.samples());
    std::int64_t widest = 0;
    for (std::size_t l = 0; l < pass_.depth(); ++l) {
      widest = std::max(widest, pass_.out(l));
      pre_tangent_.emplace_back(workspace.memory(), capacity * pass_.out(l));
      post_tangent_.emplace_back(workspace.memory(), capacity * pass_.out(l));
    }
    for (auto& buffer : cotangents_) buffer = DeviceBuffer<double>(workspace.memory(), capacity * widest);
  }

  void prepare(std::int64_t first, std::int64_t rows) { pass_.compute(first, rows, full_); }

  /// sum (M) += rows·(H v) over the samples prepared last.
  void add_product(const double* v, double* sum) {
    tangent_pass(v);
    const std::size_t last = pass_.depth() - 1;
    const cudaStream_t stream = workspace_.stream();
    LOSSATLAS_CUDA(cudaMemcpyAsync(cotangent(last), pre_tangent_[last].data(),
                                   static_cast<std::size_t>(pass_.rows() * pass_.out(last)) * sizeof(double),
                                   cudaMemcpyDeviceToDevice, stream));
    LOSSATLAS_CUDA(kernels::launch_curvature(pass_.outputs(), cotangent(last), stream));
    for (std::size_t l = last;; --l) {
      vjp_parameters(l, sum);
      if (l == 0) return;
      lower_cotangent(v, l);
    }
  }

 private:
  double* cotangent(std::size_t l) const { return cotangents_[l % 2].data(); }

  /// Computes ż and ȧ of every layer.
  void tangent_pass(const double* v) {
    const cudaStream_t stream = workspace_.stream();
    const std::int64_t rows = pass_.rows();
    for (std::size_t l = 0; l < pass_.depth(); ++l) {
      const std::int64_t in = pass_.placed(l).in, out = pass_.out(l);
      const DeviceMatrix tangent{pre_tangent_[l].data(), out};
      multiply_by_transposed(workspace_, rows, out, in, pass_.input(l), pass_.weights(l, v), 0, tangent);
      if (l > 0) {
        multiply_by_transposed(workspace_, rows, out, in, {post_tangent_[l - 1].data(), in}, pass_.weights(l), 1,
                               tangent);
      }
      LOSSATLAS_CUDA(kernels::launch_add_bias(tangent.data, pass_.bias(l, v), rows, out, stream));
      LOSSATLAS_CUDA(
          kernels::launch_multiply(pass_.slope(l), tangent.data, rows * out, post_tangent_[l].data(), stream));
    }
  }

  /// Adds the gradients of layer l: δ̇ᵀ a + δᵀ ȧ.
  void vjp_parameters(std::size_t l, double* sum) {
    const kernels::PlacedLayer& layer = pass_.placed(l);
    const DeviceMatrix gradient{sum + layer.weight, layer.in};
    multiply_transposed(workspace_, layer.out, layer.in, pass_.rows(), {cotangent(l), layer.out}, pass_.input(l), 1,
                        gradient);
    if (full_ && l > 0) {
      multiply_transposed(workspace_, layer.out, layer.in, pass_.rows(), {pass_.delta(l), layer.out},
                          {post_tangent_[l - 1].data(), layer.in}, 1, gradient);
    }
    if (layer.bias < 0) return;
    LOSSATLAS_CUDA(
        kernels::launch_add_column_sums(cotangent(l), pass_.rows(), layer.out, sum + layer.bias, workspace_.stream()));
  }

  /// Computes δ̇_{l−1} from δ̇_l.
  void lower_cotangent(const double* v, std::size_t l) {
    const std::int64_t rows = pass_.rows(), out = pass_.out(l), below = pass_.out(l - 1);
    const DeviceMatrix lower{cotangent(l - 1), below};
    multiply(workspace_, rows, below, out, {cotangent(l), out}, pass_.weights(l), 0, lower);
    if (full_) multiply(workspace_, rows, below, out, {pass_.delta(l), out}, pass_.weights(l, v), 1, lower);
    LOSSATLAS_CUDA(kernels::launch_lower_cotangent(pass_.slope(l - 1), full_ ? pass_.bend(l - 1) : nullptr,
                                                   pre_tangent_[l - 1].data(), rows * below, lower.data,
                                                   workspace_.stream()));
  }

  Workspace& workspace_;
  bool full_;
  HessianPass pass_;
  std::vector<DeviceBuffer<double>> pre_tangent_, post_tangent_;  ///< (rows, m_l)
  DeviceBuffer<double> cotangents_[2];                            ///< δ̇ of layers with even and with odd index
};

/// sums (members, M) = N·H V for directions V, chunk by chunk.
void add_products(const Memory& memory, const Problem& problem, const Control& control, std::int64_t members,
                  const double* directions, ProductPass& pass, double* sums) {
  const std::int64_t size = problem.network().parameter_count(), samples = problem.samples();
  fill_zero(memory, sums, members * size);
  for (std::int64_t first = 0; first < samples; first += kHessianRows) {
    check_stop(control);
    pass.prepare(first, std::min(kHessianRows, samples - first));
    for (std::int64_t at = 0; at < members * size; at += size) pass.add_product(directions + at, sums + at);
    synchronise(memory);  // so that a stop waits for one chunk only
  }
}

}  // namespace

void hessian_products(Workspace& workspace, const Problem& problem, std::span<const double> theta, HessianPart part,
                      std::span<const double> vectors, const Control& control, std::span<double> products) {
  const std::int64_t size = problem.network().parameter_count();
  require(static_cast<std::int64_t>(theta.size()) == size, "hessian_products", "received ", theta.size(),
          " parameters, expected ", size);
  require(static_cast<std::int64_t>(vectors.size()) % size == 0 && vectors.size() == products.size(),
          "hessian_products", "received ", vectors.size(), " entries of vectors and ", products.size(),
          " of products, expected equal multiples of ", size);
  if (vectors.empty()) return;
  Memory& memory = workspace.memory();
  const std::int64_t count = static_cast<std::int64_t>(vectors.size()) / size;
  const std::int64_t batch = std::clamp<std::int64_t>(kBatchEntries / size, 1, count);
  const DeviceBuffer<double> parameters = uploaded(memory, theta);
  const DeviceBuffer<double> directions(memory, batch * size), sums(memory, batch * size);
  ProductPass pass(workspace, problem, parameters.data(), part);
  for (std::int64_t first = 0; first < count; first += batch) {
    const std::int64_t members = std::min(batch, count - first);
    const auto offset = static_cast<std::size_t>(first * size), entries = static_cast<std::size_t>(members * size);
    upload(memory, vectors.subspan(offset, entries), directions.data());
    add_products(memory, problem, control, members, directions.data(), pass, sums.data());
    download(memory, sums.data(), products.subspan(offset, entries));
    if (control.progress) control.progress({"products", first + members, count});
  }
  for (double& value : products) value /= static_cast<double>(problem.samples());
}

}  // namespace lossatlas::cuda
