// The loss of a small random network on a grid in a random plane. Builds against an installed lossatlas, by the
// CMakeLists.txt beside this file or by
//   g++ -std=c++20 main.cpp $(pkg-config --cflags --libs lossatlas) -o consumer
#include <cstdio>
#include <lossatlas/lossatlas.hpp>

int main() {
  using namespace lossatlas;

  const Network network = mlp({1, 8, 1}, Activation::tanh);
  const std::vector<double> theta = random_parameters(network, {.seed = 1});
  const Section section = make_section(network, theta, random_directions(network, theta, {.count = 2, .seed = 2}));

  const Landscape landscape(network, tanh3(), Loss::mean_squared_error, Device::cpu());
  const Surface surface = landscape.evaluate(section, Grid::box(-1, 1, {9, 9}));

  const Range range = finite_range(surface.losses);
  std::printf("lossatlas %s: %lld losses between %.6g and %.6g\n", version(), static_cast<long long>(surface.size()),
              range.lo, range.hi);
  return surface.nonfinite == 0 && range.lo < range.hi ? 0 : 1;
}
