#include <algorithm>
#include <vector>

#include "base/check.hpp"
#include "base/parallel.hpp"
#include "cuda/hessian.hpp"
#include "cuda/pass.hpp"

namespace lossatlas::cuda {
namespace {

constexpr std::int64_t kProductsInFlight = 64;
constexpr std::int64_t kUnitVectors = 1024;                    // products of the Hessian with unit vectors at a time
constexpr std::int64_t kBatchEntries = std::int64_t{1} << 22;  // 32 MiB of vectors at a time, plus their products

/// sums (members, M) = N·H V for directions V, chunk by chunk.
void add_products(const Memory& memory, const Problem& problem, const Control& control, std::int64_t members, bool full,
                  const double* directions, Pass& pass, double* sums) {
  const std::int64_t size = problem.network().parameter_count(), samples = problem.samples();
  fill_zero(memory, sums, members * size);
  for (std::int64_t first = 0; first < samples; first += kChunkRows) {
    check_stop(control);
    pass.forward(first, std::min(kChunkRows, samples - first));
    if (full) pass.pull_down_bends();
    for (std::int64_t v = 0; v < members; ++v) {
      pass.add_hessian_product(full, directions + v * size, sums + v * size);
      if ((v + 1) % kProductsInFlight != 0 && v + 1 < members) continue;
      synchronise(memory);  // so that a stop waits for these products only
      check_stop(control);
    }
  }
}

Pass product_pass(Workspace& workspace, const Problem& problem, const double* theta) {
  return {workspace, problem, theta, PassDetail::curvature, std::min(kChunkRows, problem.samples())};
}

std::int64_t unit_vectors(std::int64_t size) {
  return std::clamp<std::int64_t>(std::min(kBatchEntries / size, kUnitVectors), 1, size);
}

}  // namespace

double unit_products_bytes(const Problem& problem) {
  const std::int64_t size = problem.network().parameter_count();
  std::int64_t entries = curvature_entries(problem);
  for (const kernels::PlacedLayer& layer : placed_layers(problem.network())) entries += 3 * layer.out;
  const std::int64_t rows = std::min(kChunkRows, problem.samples());
  return 8 * (static_cast<double>(unit_vectors(size) * size) + static_cast<double>(rows * entries));
}

void multiply_unit_vectors(Workspace& workspace, const Problem& problem, const double* theta, HessianPart part,
                           const Control& control, double* matrix) {
  const std::int64_t size = problem.network().parameter_count(), batch = unit_vectors(size);
  Memory& memory = workspace.memory();
  const DeviceBuffer<double> directions(memory, batch * size);
  Pass pass = product_pass(workspace, problem, theta);
  for (std::int64_t first = 0; first < size; first += batch) {
    const std::int64_t members = std::min(batch, size - first);
    fill_zero(memory, directions.data(), members * size);
    LOSSATLAS_CUDA(kernels::launch_fill_strided(directions.data() + first, members, size + 1, 1, workspace.stream()));
    add_products(memory, problem, control, members, part == HessianPart::full, directions.data(), pass,
                 matrix + first * size);
    if (control.progress) control.progress({"hessian", first + members, size});
  }
}

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
  const DeviceBuffer<double> directions(memory, batch * size), sums(memory, batch * size);
  Pass pass = product_pass(workspace, problem, workspace.parameters(theta));
  for (std::int64_t first = 0; first < count; first += batch) {
    const std::int64_t members = std::min(batch, count - first);
    const auto offset = static_cast<std::size_t>(first * size), entries = static_cast<std::size_t>(members * size);
    upload(memory, vectors.subspan(offset, entries), directions.data());
    add_products(memory, problem, control, members, part == HessianPart::full, directions.data(), pass, sums.data());
    download(memory, sums.data(), products.subspan(offset, entries));
    if (control.progress) control.progress({"products", first + members, count});
  }
  for (double& value : products) value /= static_cast<double>(problem.samples());
}

}  // namespace lossatlas::cuda
