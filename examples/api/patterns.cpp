// Patterns in loss surfaces: targets, fits, the implicit activation, and other data.
#include <lossatlas/lossatlas.hpp>

#include "check.hpp"

using namespace lossatlas;

namespace {

/// 100 samples of 2 features; so many of them in class 0, so many in class 1, the others in class 2.
Dataset hundred(std::int32_t first, std::int32_t second) {
  std::vector<double> inputs;
  std::vector<std::int32_t> labels;
  for (std::int32_t n = 0; n < 100; ++n) {
    inputs.insert(inputs.end(), {0.01 * n, 0.37 * (n % 7)});
    labels.push_back(n < first ? 0 : n < first + second ? 1 : 2);
  }
  return Dataset::classification(inputs, 2, labels, 3);
}

void targets() {
  const TemporaryFolder folder;
  //! [pattern]
  const Pattern ramp = Pattern::sample([](std::span<const double> alpha) { return alpha[1]; }, {3, 5});
  check(ramp.rank() == 2 && ramp.at(1 * 5 + 4, 0) == 1);  // row 1, column 4, one channel

  const auto two = [](std::span<const double> alpha, std::span<double> value) {
    value[0] = alpha[0];
    value[1] = 1 - alpha[0];
  };
  const Pattern line = Pattern::sample(two, {11}, 2);  // one axis; two channels become two heads
  check(near(line.at(3, 0), 0.3) && near(line.at(3, 1), 0.7));
  //! [pattern]

  //! [read pattern]
  write_png(folder / "two.png", Image{.width = 2, .height = 1, .rgb = {255, 0, 0, 0, 0, 255}});  // red, blue
  const Pattern picture = read_picture(folder / "two.png");
  check(picture.shape() == std::vector<std::int64_t>{1, 2} && picture.at(1, 2) == 1);
  const std::int64_t shape[] = {4, 5, 2};
  write_npy(folder / "two.npy", shape, std::vector<double>(4 * 5 * 2, 0.5));
  check(read_pattern_npy(folder / "two.npy", 2).channels() == 2);  // 4 x 5, two channels
  check(read_pattern((folder / "two.npy").string()).rank() == 3);  // 4 x 5 x 2, one channel
  check(read_pattern("demo").size() == demo_picture().size());
  //! [read pattern]
}

void fits() {
  const Dataset train = hundred(50, 30);
  //! [fit]
  const Pattern waves = Pattern::sample(
      [](std::span<const double> alpha) { return 0.5 + 0.5 * std::sin(9 * alpha[0]) * std::cos(7 * alpha[1]); },
      {24, 24});
  const PatternFit fit = fit_pattern(waves, train, {.hidden = {8, 150}, .loss = Loss::cross_entropy, .seed = 3});
  check(fit.error.psnr_db > 60);

  const Landscape landscape(fit.network, train, Loss::cross_entropy);
  const Surface surface = landscape.evaluate(fit.section, waves.grid());
  const double offset = pattern_error(surface, waves).offset[0];  // the loss of a black pixel
  check(near(surface.at(5 * 24 + 7, 0) - offset, waves.at(5 * 24 + 7, 0), 0.01));
  //! [fit]

  //! [transfer]
  const Dataset other = hundred(20, 20);
  const TransferReport report = transfer_report(landscape, fit.section, surface, other);
  check(report.rms_difference > 0.1 && report.max_disagreement < 1e-9);  // measured, and against the prediction
  //! [transfer]

  //! [implicit activation]
  const ImplicitActivation sigma(Loss::cross_entropy, train);
  const std::vector<double> alpha = {0.25, 0.75};
  const std::vector<double> output = landscape.outputs(fit.section, alpha);  // (1, 3): the same for every sample
  check(near(sigma(output), landscape.evaluate(fit.section, alpha).losses[0]));
  const double s = sigma.inverse(sigma.minimum() + 1);  // how far along the path the loss has grown by 1
  check(near(sigma.along_path(s), sigma.minimum() + 1));
  check(near(sigma.gradient(sigma.path_base())[0], 0));  // softmax(log pi) - pi
  //! [implicit activation]
}

void refined() {
  const Pattern ramp = Pattern::sample([](std::span<const double> alpha) { return alpha[0]; }, {20});
  //! [refine]
  const FitOptions options{
      .hidden = {3, 5}, .loss = Loss::mean_squared_error, .method = FitMethod::refine, .iterations = 5};
  const PatternFit fit = fit_pattern(ramp, tanh3(), options);
  check(!fit.steps.empty() && fit.steps.back().psnr_db >= fit.steps.front().psnr_db);
  check(fit.network.parameter_count() == (3 + 3) + (3 * 5 + 5) + (5 + 1));  // the first weights are zero
  //! [refine]
}

}  // namespace

int main() { return run({targets, fits, refined}); }
