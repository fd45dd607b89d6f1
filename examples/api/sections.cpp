// Sections: the loss on lines, planes and boxes of parameter space, in memory and in files.
#include <lossatlas/lossatlas.hpp>

#include "check.hpp"

using namespace lossatlas;

namespace {

const Network kNetwork = mlp({1, 6, 6, 1}, Activation::tanh);
const std::vector<double> kTheta = random_parameters(kNetwork, {.seed = 1});

Section random_plane() {
  return make_section(kNetwork, kTheta, random_directions(kNetwork, kTheta, {.count = 2, .seed = 2}));
}

void directions() {
  //! [directions]
  const RandomDirectionOptions by_layer{.count = 2, .seed = 7, .normalisation = Normalisation::layer};
  const Section plane = make_section(kNetwork, kTheta, random_directions(kNetwork, kTheta, by_layer));
  const std::vector<double> cosines = direction_cosines(plane);  // (2, 2)
  check(near(cosines[0], 1) && cosines[1] != 0 && cosines[1] == cosines[2]);
  check(near(direction_cosines(orthogonalised(plane))[1], 0));

  const std::vector<double> theta = plane.at(std::vector{0.5, -2.0});  // origin + 0.5 direction(0) - 2 direction(1)
  check(near(theta[3], kTheta[3] + 0.5 * plane.direction(0)[3] - 2 * plane.direction(1)[3]));
  //! [directions]
}

void through_points() {
  //! [through points]
  const std::vector<double> a = kTheta, b = random_parameters(kNetwork, {.seed = 4});
  const std::vector<double> c = random_parameters(kNetwork, {.seed = 5});
  check(line_section(kNetwork, a, b).at(std::vector{1.0}) == b);
  check(plane_section(kNetwork, a, b, c).at(std::vector{0.0, 1.0}) == c);
  //! [through points]
}

void grids() {
  //! [grid]
  const Grid grid({{.lo = -1, .hi = 1, .points = 5}, {.lo = 0, .hi = 10, .points = 3}});  // axis 1 times axis 2
  std::vector<double> alpha(2);
  grid.point(4, alpha);  // row 1, column 1: the last axis varies fastest
  check(alpha == std::vector{-0.5, 5.0} && grid.size() == 15);
  check(Grid::box(0, 1, {5, 3}) == Grid::unit({5, 3}));
  //! [grid]
}

void surfaces() {
  const Section plane = random_plane();
  //! [surface]
  const Landscape landscape(kNetwork, tanh3(), Loss::mean_squared_error);
  const Surface surface = landscape.evaluate(plane, Grid::box(-1, 1, {21, 31}), {.precision = Precision::f32});
  const double there = surface.at(3 * 31 + 5, 0);  // point (3, 5), head 0
  check(surface.size() == 21 * 31 && surface.nonfinite == 0 && surface.precision == Precision::f32);
  check(finite_range(surface.losses).lo <= there && surface.total(3 * 31 + 5) == there);

  const std::vector<double> points = {0, 0, -0.7, -2.0 / 3};  // two points of the plane; the second one is (3, 5)
  const Surface listed = landscape.evaluate(plane, points, {.plan = Plan::direct});  // no shortcuts
  check(near(listed.losses[0], landscape.evaluate(kTheta).loss()) && near(listed.losses[1], there, 1e-5));
  //! [surface]
}

void costs() {
  const Section plane = random_plane();
  const Landscape landscape(kNetwork, tanh3(), Loss::mean_squared_error);
  //! [cost]
  const EvaluateOptions options{.precision = Precision::f32};
  const SectionCost cost = section_cost(landscape, plane, 1000 * 1000, options);  // nothing is evaluated
  const DeviceRates rates = measure_rates(landscape.device(), cost.precision);
  const std::string plan = landscape.explain(plane, 1000 * 1000, options, rates);
  check(cost.floor_seconds(rates) > 0 && plan.find("floor: ") != std::string::npos);
  //! [cost]
}

void interpolated() {
  const Section plane = random_plane();
  const Landscape landscape(kNetwork, tanh3(), Loss::mean_squared_error);
  //! [chebyshev]
  const Grid grid = Grid::box(-0.5, 0.5, {101, 101});
  const Surface surface = landscape.evaluate(plane, grid, {.method = Method::chebyshev, .tolerance = 1e-6});
  const ChebyshevReport& report = *surface.chebyshev;
  check(report.met && report.estimate <= 1e-6 && report.evaluations < 101 * 101 / 2);

  const ChebyshevFit fit = fit_chebyshev(landscape, plane, grid, {.tolerance = 1e-6});  // the polynomial itself
  const std::vector<double> origin = {0, 0};
  const double slope = fit.interpolant->gradient(origin)[1];  // dL/d(alpha 2) of head 0
  const std::vector<double> gradient = landscape.gradient(kTheta);
  double expected = 0;
  for (std::size_t i = 0; i < gradient.size(); ++i) expected += gradient[i] * plane.direction(1)[i];
  check(near(slope, expected, 1e-3));
  //! [chebyshev]
}

void interpolant() {
  //! [interpolant]
  const std::vector<ChebyshevAxis> axes = {{.lo = -1, .hi = 1, .nodes = 3}, {.lo = 0, .hi = 4, .nodes = 2}};
  const std::vector<double> values = {0, 4, 0, 0, 0, 4};  // of x^2 y at (-1, 0), (-1, 4), (0, 0), ..., (1, 4)
  const auto p = ChebyshevInterpolant::through(axes, 1, values);
  const std::vector<double> point = {0.5, 2};
  check(near(p.evaluate(point)[0], 0.5) && near(p.gradient(point)[1], 0.25));
  check(near(p.hessian(point)[0], 4) && near(p.hessian(point)[1], 1));
  //! [interpolant]
}

void files() {
  const TemporaryFolder folder;
  const Section plane = random_plane();
  const Landscape landscape(kNetwork, tanh3(), Loss::mean_squared_error);
  //! [section file]
  const Grid grid = Grid::box(-1, 1, {40, 50});
  std::stop_source stop;
  const auto look = [&](const ProgressEvent& event) {
    if (event.done >= 500) stop.request_stop();
  };
  const EvaluateOptions stoppable{.control = {look, stop.get_token()}};
  try {
    write_section(folder / "plane.npy", landscape, plane, grid, {.evaluate = stoppable, .tile_points = 100});
  } catch (const Interrupted&) {  // the finished tiles stay in plane.npy.partial
  }
  const SectionFileReport report =
      write_section(folder / "plane.npy", landscape, plane, grid, {.unfinished = Unfinished::resume});
  check(report.resumed_tiles >= 4 && report.evaluated_points + 100 * report.resumed_tiles == 2000);
  const Array losses = read_npy(folder / "plane.npy");  // (40, 50, 1)
  check(losses.values == landscape.evaluate(plane, grid).losses);
  //! [section file]

  //! [shards]
  write_section(folder / "1.shard", landscape, plane, grid, {.shard = Shard{.index = 1, .count = 2}});
  write_section(folder / "2.shard", landscape, plane, grid, {.shard = Shard{.index = 2, .count = 2}});  // elsewhere
  const std::vector<std::filesystem::path> shards = {folder / "1.shard", folder / "2.shard"};
  merge_sections(folder / "merged.npy", shards);
  check(read_npy(folder / "merged.npy").values == losses.values);
  check(shard_grid(shards[1]) == grid && shard_heads(shards[1]) == 1);
  //! [shards]
}

}  // namespace

int main() { return run({directions, through_points, grids, surfaces, costs, interpolated, interpolant, files}); }
