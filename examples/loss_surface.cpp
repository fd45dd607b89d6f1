// Draws the loss of a random network on a plane of two filter-normalised random directions.
//   loss_surface [IMAGES LABELS]      (IDX files; without them built-in digits)
#include <cstdio>
#include <exception>

#include <lossatlas/lossatlas.hpp>

using namespace lossatlas;

int main(int argc, char** argv) try {
  const Dataset data = argc > 2 ? read_idx(argv[1], argv[2]) : glyphs(500);
  const Network network = mlp({data.features(), 64, 64, data.outputs()}, Activation::tanh);
  const std::vector<double> theta = random_parameters(network, {.seed = 1});

  const Landscape landscape(network, data, Loss::cross_entropy, Device::best());
  const Section plane = make_section(network, theta, random_directions(network, theta, {.count = 2, .seed = 2}));
  const Surface surface = landscape.evaluate(plane, Grid::box(-1, 1, {41, 41}), {.precision = Precision::f32});
  write_png("plane.png", surface, {.title = network.describe()});

  const Range range = finite_range(surface.losses);
  std::printf("loss %.4f .. %.4f, cosine of the directions %.4f, written to plane.png\n", range.lo, range.hi,
              direction_cosines(plane)[1]);
} catch (const std::exception& error) {
  std::fprintf(stderr, "loss_surface: %s\n", error.what());
  return 1;
}
