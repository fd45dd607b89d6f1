#include "cuda/section_quadratic.hpp"

#include <algorithm>
#include <utility>
#include <vector>

#include "../kernels/section.hpp"
#include "cuda/linear_algebra.hpp"
#include "cuda/point_batches.hpp"
#include "cuda/section_chain.hpp"
#include "cuda/section_lists.hpp"

namespace lossatlas::cuda {
namespace {

/// The part that belongs to each column of E, −1 if there is none; column 0 is the origin.
std::vector<std::int32_t> parts_of_columns(std::int64_t rank, const std::vector<std::int32_t>& directions,
                                           bool origin) {
  std::vector<std::int32_t> parts(static_cast<std::size_t>(rank + 1), -1);
  if (origin) parts[0] = 0;
  for (std::size_t i = 0; i < directions.size(); ++i) {
    parts[static_cast<std::size_t>(directions[i] + 1)] = static_cast<std::int32_t>(i + 1);
  }
  return parts;
}

class QuadraticSection final : public DeviceSection {
 public:
  QuadraticSection(Workspace& workspace, const Problem& problem, const SectionPlan& plan, const Control& control)
      : workspace_(workspace), plan_(plan), queue_(workspace) {
    residuals_.samples = problem.samples();
    residuals_.heads = plan.heads;
    residuals_.classes = plan.outputs / plan.heads;
    residuals_.columns = plan.rank + 1;
    residuals_.rows = std::max(residuals_.samples * residuals_.classes, residuals_.columns);
    residuals_.targets = problem.targets<double>();
    matrix_ = DeviceBuffer<double>(workspace.memory(), plan.heads * residuals_.columns * residuals_.rows);
    residuals_.matrix = matrix_.data();
    load_columns(problem, control);
    factor(control);
    keep_triangles();
  }

  void losses(const SectionPoints& points, const Control& control, std::span<double> losses) override {
    queue_.run(
        {plan_.rank, plan_.heads, 8, point_flop()}, points, control, losses, [](std::int64_t) { return NoScratch{}; },
        [this](const NoScratch&, const PointBatch& batch) {
          LOSSATLAS_CUDA(kernels::launch_quadratic_losses(residuals_, batch.alpha, batch.count, batch.results,
                                                          workspace_.stream()));
        });
  }

 private:
  // Computes E of each head.
  void load_columns(const Problem& problem, const Control& control) {
    Memory& memory = workspace_.memory();
    const ChainLayer none;
    const Crossing* output = plan_.graph ? &plan_.graph->lists.crossings.front() : nullptr;
    const ChainLayer& bias = !output                      ? plan_.joint_point
                             : output->offset == kNoValue ? none
                                                          : *plan_.graph->lists.point.front().layer;
    const auto part_of =
        parts_of_columns(plan_.rank, output ? output->directions : plan_.joint_sample.weight_directions, true);
    const auto bias_of = parts_of_columns(plan_.rank, bias.bias_directions, !bias.biases.empty());
    const auto device_part_of = uploaded(memory, std::span(part_of)),
               device_bias_of = uploaded(memory, std::span(bias_of));
    const auto biases = uploaded(memory, std::span(bias.biases));
    const DeviceBuffer<double> base =
        output ? std::move(crossing_units<double>(workspace_, problem, plan_.graph->lists, control).front())
               : sample_units<double>(workspace_, problem, plan_, control);
    kernels::ResidualColumns columns = residuals_;
    columns.part_of = device_part_of.data();
    columns.bias_of = device_bias_of.data();
    columns.biases = biases.data();
    columns.base = base.data();
    LOSSATLAS_CUDA(kernels::launch_residual_columns(columns, workspace_.stream()));
  }

  // Replaces E by F.
  void factor(const Control& control) {
    const DeviceBuffer<double> tau(workspace_.memory(), residuals_.columns);
    for (std::int64_t head = 0; head < plan_.heads; ++head) {
      check_stop(control);
      factor_qr(workspace_, residuals_.rows, residuals_.columns,
                matrix_.data() + head * residuals_.columns * residuals_.rows, tau.data());
    }
  }

  // E may be freed; only its factor F is used from now on.
  void keep_triangles() {
    const std::int64_t columns = residuals_.columns;
    DeviceBuffer<double> triangles(workspace_.memory(), plan_.heads * columns * columns);
    const auto bytes = [](std::int64_t values) { return static_cast<std::size_t>(8 * values); };
    LOSSATLAS_CUDA(cudaMemcpy2DAsync(triangles.data(), bytes(columns), matrix_.data(), bytes(residuals_.rows),
                                     bytes(columns), static_cast<std::size_t>(plan_.heads * columns),
                                     cudaMemcpyDeviceToDevice, workspace_.stream()));
    synchronise(workspace_.memory());
    matrix_ = std::move(triangles);
    residuals_.matrix = matrix_.data();
    residuals_.rows = columns;
  }

  double point_flop() const { return static_cast<double>(plan_.heads * residuals_.columns * residuals_.columns); }

  Workspace& workspace_;
  const SectionPlan& plan_;
  kernels::ResidualColumns residuals_;
  DeviceBuffer<double> matrix_;  // (H, z+1, rows), column-major: E, then F in the upper triangles of (H, z+1, z+1)
  BatchQueue<NoScratch> queue_;
};

}  // namespace

std::unique_ptr<DeviceSection> quadratic_section(Workspace& workspace, const Problem& problem, const SectionPlan& plan,
                                                 const Control& control) {
  return std::make_unique<QuadraticSection>(workspace, problem, plan, control);
}

}  // namespace lossatlas::cuda
