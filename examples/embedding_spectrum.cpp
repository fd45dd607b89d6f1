// Finds a critical point of a narrow network, splits a neuron in halves, and compares the forecast of the wide
// network's inertia with its Hessian spectrum; draws both spectra.
//   embedding_spectrum
#include <cstdio>
#include <exception>

#include <lossatlas/lossatlas.hpp>

using namespace lossatlas;

namespace {

void print(const char* what, const Inertia& inertia) {
  std::printf("%-22s %3lld positive, %lld zero, %lld negative\n", what, static_cast<long long>(inertia.positive),
              static_cast<long long>(inertia.zero), static_cast<long long>(inertia.negative));
}

}  // namespace

int main() try {
  const Dataset data = tanh3();
  const Network network = mlp({1, 2, 1}, Activation::tanh, {.bias = Bias::hidden});
  const Landscape narrow(network, data, Loss::mean_squared_error);
  const CriticalPoint minimum = find_critical_point(narrow, random_parameters(network, {.seed = 1}));
  std::printf("loss %.6f, |gradient| %.1e%s%s\n", minimum.loss, minimum.gradient_l1, minimum.critical ? "" : ", ",
              minimum.remark.c_str());

  const Split half{.layer = 1, .neuron = 0, .alpha = 0.5};
  const Embedding embedding = split_neuron(network, minimum.theta, half);
  const Landscape wide(embedding.network, data, Loss::mean_squared_error);
  const Inertia forecast = forecast_split(narrow, minimum.theta, half);
  const Spectrum before = hessian_spectrum(narrow, minimum.theta);
  const Spectrum after = hessian_spectrum(wide, embedding.theta);
  print("width 2", before.inertia);
  print("width 3, forecast", forecast);
  print("width 3, spectrum", after.inertia);

  const Image pictures[] = {plot_spectrum(before, {.title = "width 2"}), plot_spectrum(after, {.title = "width 3"})};
  write_png("spectra.png", side_by_side(pictures));
  std::printf("written to spectra.png\n");
  return forecast == after.inertia ? 0 : 1;
} catch (const std::exception& error) {
  std::fprintf(stderr, "embedding_spectrum: %s\n", error.what());
  return 1;
}
