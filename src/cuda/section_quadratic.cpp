#include "cuda/section_quadratic.hpp"

#include <algorithm>
#include <vector>

#include "../kernels/section.hpp"
#include "cuda/linear_algebra.hpp"
#include "cuda/point_tiles.hpp"
#include "cuda/section_chain.hpp"

namespace lossatlas::cuda {
namespace {

/// The part that belongs to each column of E, −1 where there is none; column 0 is the origin.
std::vector<std::int32_t> parts_of_columns(std::int64_t rank, const std::vector<std::int32_t>& directions,
                                           bool origin) {
  std::vector<std::int32_t> parts(static_cast<std::size_t>(rank + 1), -1);
  if (origin) parts[0] = 0;
  for (std::size_t i = 0; i < directions.size(); ++i) {
    parts[static_cast<std::size_t>(directions[i] + 1)] = static_cast<std::int32_t>(i + 1);
  }
  return parts;
}

struct NoScratch {};

}  // namespace

void quadratic_losses(Workspace& workspace, const Problem& problem, const SectionPlan& plan,
                      std::span<const double> points, const Control& control, std::span<double> losses) {
  Memory& memory = workspace.memory();
  const auto part_of = parts_of_columns(plan.rank, plan.joint_sample.weight_directions, true);
  const auto bias_of = parts_of_columns(plan.rank, plan.joint_point.bias_directions, !plan.joint_point.biases.empty());
  const auto device_part_of = uploaded(memory, std::span(part_of));
  const auto device_bias_of = uploaded(memory, std::span(bias_of));
  const auto biases = uploaded(memory, std::span(plan.joint_point.biases));

  kernels::ResidualColumns residuals;
  residuals.samples = problem.samples();
  residuals.heads = plan.heads;
  residuals.classes = plan.outputs / plan.heads;
  residuals.columns = plan.rank + 1;
  residuals.rows = std::max(residuals.samples * residuals.classes, residuals.columns);
  const std::int64_t size = residuals.columns * residuals.rows;
  const DeviceBuffer<double> matrix(memory, plan.heads * size);
  const DeviceBuffer<double> tau(memory, residuals.columns);
  residuals.matrix = matrix.data();
  residuals.part_of = device_part_of.data();
  residuals.bias_of = device_bias_of.data();
  residuals.biases = biases.data();
  residuals.targets = problem.targets<double>();
  {
    const DeviceBuffer<double> base = sample_units<double>(workspace, problem, plan, control);
    residuals.base = base.data();
    LOSSATLAS_CUDA(kernels::launch_residual_columns(residuals, workspace.stream()));
  }
  for (std::int64_t head = 0; head < plan.heads; ++head) {
    check_stop(control);
    factor_qr(workspace, residuals.rows, residuals.columns, matrix.data() + head * size, tau.data());
  }
  const PointTiles tiles{points, plan.rank, plan.heads, 8, 1};
  for_point_tiles<NoScratch>(
      workspace, tiles, control, losses, [](std::int64_t) { return NoScratch{}; },
      [&](const NoScratch&, const PointTile& tile) {
        LOSSATLAS_CUDA(
            kernels::launch_quadratic_losses(residuals, tile.alpha, tile.count, tile.results, workspace.stream()));
      });
}

}  // namespace lossatlas::cuda
