#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <new>

#include <lossatlas/landscape.hpp>

#include "backend.hpp"
#include "chebyshev_surface.hpp"
#include "check.hpp"
#include "section_end.hpp"

namespace lossatlas {

struct Landscape::State {
  Network network;
  Dataset data;
  Loss loss;
  Device device;
  std::shared_ptr<const Backend> backend;
  std::unique_ptr<DeviceLandscape> on_device;

  /// The surface at a list of points (G, z), or, if that is empty, at those of the grid.
  Surface surface(const Section& section, const Grid& grid, std::span<const double> list,
                  const EvaluateOptions& options) const;
};

namespace {

void check_distributions(const Dataset& data) {
  if (data.has_labels()) return;
  for (std::int64_t n = 0; n < data.size(); ++n) {
    double sum = 0;
    bool positive = true;
    for (std::int64_t c = 0; c < data.outputs(); ++c) {
      sum += data.target(n, c);
      positive = positive && data.target(n, c) >= 0;
    }
    require(positive && std::abs(sum - 1) <= 1e-9, "Landscape", "received targets of sample ", n, " with sum ", sum,
            positive ? "" : " and a negative entry",
            ", expected a label distribution for cross entropy; use labels or ", "mean squared error");
  }
}

void check_problem(const Network& network, const Dataset& data, Loss loss) {
  require(network.depth() >= 1, "Landscape", "received an empty network, expected at least one layer");
  require(data.features() == network.inputs(), "Landscape", "received data \"", data.name(), "\" with ",
          data.features(), " features, expected the network's ", network.inputs(), " inputs");
  require(data.outputs() == network.outputs_per_head(), "Landscape", "received data \"", data.name(), "\" with ",
          data.outputs(), data.has_labels() ? " classes" : " targets", ", expected the network's ",
          network.outputs_per_head(), " outputs per head");
  if (loss == Loss::cross_entropy) check_distributions(data);
}

void check_theta(const Network& network, std::span<const double> theta, std::string_view function) {
  require(static_cast<std::int64_t>(theta.size()) == network.parameter_count(), function, "received ", theta.size(),
          " parameters, expected ", network.parameter_count());
}

/// G of a list of points (G, z).
std::int64_t check_points(const Section& section, std::span<const double> points, std::string_view function) {
  const std::int64_t z = section.rank();
  require(z >= 1, function, "received a section without directions, expected at least 1");
  require(!points.empty() && static_cast<std::int64_t>(points.size()) % z == 0, function, "received ", points.size(),
          " coordinates, expected a positive multiple of ", z, " directions");
  require_finite(points, function, "points");
  return static_cast<std::int64_t>(points.size()) / z;
}

/// All points of a grid (G, z).
std::vector<double> grid_points(const Grid& grid) {
  std::vector<double> points(static_cast<std::size_t>(grid.size() * grid.rank()));
  grid.points(0, grid.size(), points);
  return points;
}

/// The losses (G, H) at the ends of a section that gives their exact parameters, where θ₀ + θᵢ would round.
void evaluate_ends(const DeviceLandscape& on_device, const Section& section, std::span<const double> points,
                   std::int64_t heads, std::span<double> losses) {
  const auto z = static_cast<std::size_t>(section.rank()), h = static_cast<std::size_t>(heads);
  std::vector<double> accuracy(h);
  for (std::size_t g = 0; g < points.size() / z; ++g) {
    const auto alpha = points.subspan(g * z, z);
    if (is_end(alpha)) on_device.evaluate(section.at(alpha), losses.subspan(g * h, h), accuracy);
  }
}

}  // namespace

Landscape::Landscape(Network network, Dataset data, Loss loss, Device device) {
  if (data.has_labels() && data.outputs() < network.outputs_per_head())
    data = data.with_classes(network.outputs_per_head());
  check_problem(network, data, loss);
  auto backend = make_backend(device);
  auto on_device = backend->landscape(network, data, loss);
  state_ = std::make_unique<State>(
      State{std::move(network), std::move(data), loss, std::move(device), std::move(backend), std::move(on_device)});
}

Landscape::~Landscape() = default;
Landscape::Landscape(Landscape&&) noexcept = default;
Landscape& Landscape::operator=(Landscape&&) noexcept = default;

Surface Landscape::State::surface(const Section& section, const Grid& grid, std::span<const double> list,
                                  const EvaluateOptions& options) const {
  const auto start = std::chrono::steady_clock::now();
  const SectionPlan plan = plan_section(network, loss, section, options.plan);
  const std::int64_t numbers = section.rank() + network.heads();  // a point, and its losses
  const auto out_of_memory = [&] {
    const double bytes = 8.0 * static_cast<double>(grid.size()) * static_cast<double>(numbers);
    return OutOfMemory(message("Landscape::evaluate", "received ", grid.size(), " points, which take ", bytes,
                               " bytes, expected fewer; use a smaller grid"),
                       static_cast<std::int64_t>(std::min(bytes, 9e18)));
  };
  if (grid.size() > std::numeric_limits<std::int64_t>::max() / 8 / numbers) throw out_of_memory();
  Surface result;
  std::vector<double> points;
  try {
    if (list.empty()) points = grid_points(grid);
    result.points.assign(list.begin(), list.end());
    result.losses.resize(static_cast<std::size_t>(grid.size() * network.heads()));
  } catch (const std::bad_alloc&) {
    throw out_of_memory();
  }
  if (list.empty()) list = points;
  result.grid = grid;
  result.heads = network.heads();
  result.precision = on_device->section_losses(plan, list, options.precision, options.control, result.losses);
  if (!section.ends.empty()) evaluate_ends(*on_device, section, list, result.heads, result.losses);
  for (const double loss : result.losses) result.nonfinite += !std::isfinite(loss);
  result.device = backend->describe();
  result.plan = plan.explain(data.size(), grid.size(), result.precision);
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return result;
}

const DeviceLandscape& on_device(const Landscape& landscape) { return *landscape.state_->on_device; }

const Network& Landscape::network() const { return state_->network; }
const Dataset& Landscape::data() const { return state_->data; }
Loss Landscape::loss() const { return state_->loss; }
const Device& Landscape::device() const { return state_->device; }

Evaluation Landscape::evaluate(std::span<const double> theta) const {
  check_theta(network(), theta, "Landscape::evaluate");
  const auto heads = static_cast<std::size_t>(network().heads());
  Evaluation result{std::vector<double>(heads), std::vector<double>(heads)};
  state_->on_device->evaluate(theta, result.losses, result.accuracy);
  return result;
}

std::vector<double> Landscape::gradient(std::span<const double> theta) const {
  check_theta(network(), theta, "Landscape::gradient");
  std::vector<double> result(theta.size());
  state_->on_device->gradient(theta, 0, data().size(), result);
  return result;
}

Surface Landscape::evaluate(const Section& section, const Grid& grid, const EvaluateOptions& options) const {
  require(grid.rank() == section.rank(), "Landscape::evaluate", "received a grid of ", grid.rank(), " axes for ",
          section.rank(), " directions, expected one axis each");
  if (options.method == Method::chebyshev) return chebyshev_surface(*this, section, grid, {}, options);
  return state_->surface(section, grid, {}, options);
}

Surface Landscape::evaluate(const Section& section, std::span<const double> points,
                            const EvaluateOptions& options) const {
  const std::int64_t count = check_points(section, points, "Landscape::evaluate");
  const Grid numbers({Axis{0, static_cast<double>(count - 1), count}});
  if (options.method == Method::chebyshev) return chebyshev_surface(*this, section, numbers, points, options);
  return state_->surface(section, numbers, points, options);
}

std::vector<double> Landscape::outputs(const Section& section, std::span<const double> points,
                                       const Control& control) const {
  const std::int64_t count = check_points(section, points, "Landscape::outputs");
  const SectionPlan plan = plan_section(network(), loss(), section, Plan::automatic);
  require(plan.kind == PlanKind::sample_free, "Landscape::outputs",
          "received a section on which the output depends on the input, expected one that cuts it off (Theorem 1)");
  std::vector<double> result(static_cast<std::size_t>(count * network().outputs()));
  state_->on_device->section_outputs(plan, points, control, result);
  return result;
}

std::string Landscape::explain(const Section& section, std::int64_t points, const EvaluateOptions& options) const {
  require(points >= 1, "Landscape::explain", "received ", points, " points, expected at least 1");
  const SectionPlan plan = plan_section(network(), loss(), section, options.plan);
  std::string text = plan.explain(data().size(), points, options.precision);
  if (options.method == Method::chebyshev) text += chebyshev_forecast(plan, points, options.tolerance);
  return text;
}

}  // namespace lossatlas
