// Patterns put into loss surfaces: accuracy, exactness of the construction, determinism, bad arguments.
#include <gtest/gtest.h>

#include <cmath>
#include <lossatlas/implicit_activation.hpp>
#include <lossatlas/landscape.hpp>
#include <lossatlas/pattern_fit.hpp>
#include <numbers>

#include "base/random.hpp"
#include "expect_error.hpp"
#include "reference/oracle.hpp"
#include "reference/sample_free.hpp"
#include "test_device.hpp"

namespace lossatlas {
namespace {

Pattern product_of_sines(std::vector<std::int64_t> shape) {
  return Pattern::sample(
      [](std::span<const double> alpha) {
        double product = 1;
        for (const double a : alpha) product *= std::sin(2 * std::numbers::pi * a);
        return 0.5 + 0.5 * product;
      },
      std::move(shape), "sines");
}

/// rms of L − T − (best constant) at the centres of the pattern's cells, which the fit has not seen.
double rms_at_centres(const PatternFit& fit, const Pattern& pattern, const Dataset& data, Loss loss) {
  const Landscape landscape(fit.network, data, loss);
  std::vector<Axis> axes;
  for (const std::int64_t n : pattern.shape()) {
    const double half = 0.5 / static_cast<double>(n - 1);
    axes.push_back({half, 1 - half, n - 1});
  }
  const Surface surface = landscape.evaluate(fit.section, Grid(axes));
  std::vector<double> alpha(axes.size()), difference;
  double mean = 0, square = 0;
  for (std::int64_t g = 0; g < surface.size(); ++g) {
    surface.grid.point(g, alpha);
    double product = 1;
    for (const double a : alpha) product *= std::sin(2 * std::numbers::pi * a);
    difference.push_back(surface.losses[static_cast<std::size_t>(g)] - (0.5 + 0.5 * product));
    mean += difference.back() / static_cast<double>(surface.size());
  }
  for (const double d : difference) square += (d - mean) * (d - mean) / static_cast<double>(surface.size());
  return std::sqrt(square);
}

TEST(PatternFit, SmoothTargetsBetweenThePixels) {
  const Dataset data = glyphs(300);
  for (const Loss loss : {Loss::cross_entropy, Loss::mean_squared_error}) {
    const Pattern line = product_of_sines({257}), plane = product_of_sines({48, 48});
    const PatternFit on_line = fit_pattern(line, data, {.hidden = {64, 512}, .loss = loss});
    EXPECT_LT(rms_at_centres(on_line, line, data, loss), 1e-6);
    const PatternFit on_plane = fit_pattern(plane, data, {.hidden = {64, 512}, .loss = loss});
    EXPECT_LT(rms_at_centres(on_plane, plane, data, loss), 1e-4);
    EXPECT_LT(on_plane.error.rms, 1e-4);
  }
}

TEST(PatternFit, SurfaceIsTheLossOfTheFullNetworkOnRealInputs) {
  const Dataset data = glyphs(40);
  const Pattern picture = demo_picture(24);
  for (const Loss loss : {Loss::cross_entropy, Loss::mean_squared_error}) {
    PatternFit fit = fit_pattern(picture, data, {.hidden = {32, 96}, .loss = loss});
    Random random(4);
    std::vector<double> points;
    for (int i = 0; i < 2 * 64; ++i) points.push_back(random.uniform());
    const reference::SampleFree exact = reference::sample_free_losses(fit.network, fit.section, data, loss, points);
    const Landscape landscape(fit.network, data, loss);
    const Surface shortcut = landscape.evaluate(fit.section, points);
    const Surface direct = landscape.evaluate(fit.section, points, {.plan = Plan::direct});
    EXPECT_NE(shortcut.plan.find("sample-free"), std::string::npos);
    EXPECT_LE(reference::max_difference(shortcut.losses, exact.losses), exact.bound);
    EXPECT_LE(reference::max_difference(direct.losses, exact.losses), exact.bound);
    const std::vector<double> few(points.begin(), points.begin() + 6);
    const std::vector<double> oracle = reference::section_losses(fit.network, fit.section, few, data, loss);
    EXPECT_LE(reference::max_difference(oracle, std::span(exact.losses).first(oracle.size())), exact.bound);

    // Other finite inputs at the same labels: the same bits.
    std::vector<double> other(static_cast<std::size_t>(data.size() * data.features()));
    for (double& x : other) x = 1e3 * random.normal();
    const Landscape elsewhere(fit.network, data.with_inputs(other, data.features()), loss);
    EXPECT_EQ(elsewhere.evaluate(fit.section, points, {.plan = Plan::direct}).losses, direct.losses);

    // One entry of W₁ at 1e-6 breaks each of the checks above.
    fit.section.origin[300] = 1e-6;
    const Surface broken = landscape.evaluate(fit.section, points, {.plan = Plan::direct});
    EXPECT_EQ(landscape.evaluate(fit.section, points).plan.find("sample-free"), std::string::npos);
    EXPECT_GT(reference::max_difference(broken.losses, exact.losses), exact.bound);
    EXPECT_GT(reference::max_difference(reference::section_losses(fit.network, fit.section, few, data, loss), oracle),
              exact.bound);
    EXPECT_NE(elsewhere.evaluate(fit.section, points, {.plan = Plan::direct}).losses, broken.losses);
  }
}

TEST(PatternFit, SameBitsForAnyNumberOfThreads) {
  const Pattern picture = demo_picture(20);
  const Dataset data = glyphs(50);
  for (const FitMethod method : {FitMethod::features, FitMethod::refine, FitMethod::adam}) {
    FitOptions options{.hidden = {32, 80}, .method = method, .iterations = 2, .device = Device::cpu({.threads = 1})};
    const PatternFit one = fit_pattern(picture, data, options);
    options.device = Device::cpu({.threads = 3});
    const PatternFit three = fit_pattern(picture, data, options);
    EXPECT_EQ(one.section.origin, three.section.origin) << name(method);
    EXPECT_EQ(one.section.directions, three.section.directions) << name(method);
    options.seed = 2;
    EXPECT_NE(fit_pattern(picture, data, options).section.origin, one.section.origin) << name(method);
  }
}

TEST(PatternFit, PlacedFeaturesBeatEvenOnesOnAPicture) {
  const Pattern picture = demo_picture(48);
  const Dataset data = glyphs(50);
  const PatternFit even = fit_pattern(picture, data, {.hidden = {64, 256}, .placed_share = 0});
  const PatternFit placed = fit_pattern(picture, data, {.hidden = {64, 256}});
  EXPECT_GT(placed.error.psnr_db, even.error.psnr_db + 3);
  EXPECT_GT(placed.error.psnr_db, 27);
}

TEST(PatternFit, RefinementNeverLowersThePsnr) {
  const Pattern picture = demo_picture(32);
  const Dataset data = glyphs(50);
  const PatternFit start = fit_pattern(picture, data, {.hidden = {48, 96}});
  const PatternFit refined =
      fit_pattern(picture, data, {.hidden = {48, 96}, .method = FitMethod::refine, .iterations = 6});
  EXPECT_GT(refined.error.psnr_db, start.error.psnr_db + 0.5);
  for (std::size_t i = 1; i < refined.steps.size(); ++i)
    EXPECT_GE(refined.steps[i].psnr_db, refined.steps[i - 1].psnr_db);
}

TEST(PatternFit, AdamLearnsThePatternFromScratch) {
  const Pattern plane = product_of_sines({24, 24});
  const Dataset data = glyphs(50);
  const PatternFit few = fit_pattern(plane, data, {.hidden = {16, 16}, .method = FitMethod::adam, .iterations = 20});
  const PatternFit many = fit_pattern(plane, data, {.hidden = {16, 16}, .method = FitMethod::adam, .iterations = 600});
  EXPECT_LT(many.error.rms, 0.5 * few.error.rms);
}

TEST(PatternFit, AnyActivationDepthAndRank) {
  const Dataset data = glyphs(60);
  const Pattern picture = demo_picture(24);
  for (const Activation activation : all_activations()) {
    if (activation == Activation::identity) continue;
    for (const std::vector<std::int64_t>& hidden :
         std::vector<std::vector<std::int64_t>>{{200}, {48, 200}, {48, 40, 200}}) {
      const PatternFit fit = fit_pattern(picture, data, {.hidden = hidden, .activation = activation});
      EXPECT_GT(fit.error.psnr_db, hidden.size() == 1 ? 17 : 20) << name(activation) << ", depth " << hidden.size();
    }
  }
  const PatternFit solid = fit_pattern(product_of_sines({9, 10, 11}), data, {.hidden = {48, 300}});
  EXPECT_LT(solid.error.rms, 0.02);
  EXPECT_EQ(solid.section.rank(), 3);
}

TEST(PatternFit, OffsetsAndSkewedLabels) {
  const Dataset skewed = Dataset::classification(std::vector<double>(30, 0.5), 3, {0, 0, 0, 0, 0, 0, 0, 2, 2, 3}, 5);
  for (const Loss loss : {Loss::cross_entropy, Loss::mean_squared_error}) {
    const PatternFit fit =
        fit_pattern(product_of_sines({40}), skewed, {.hidden = {32, 64}, .loss = loss, .margin = 0.25});
    const ImplicitActivation sigma(loss, skewed);
    EXPECT_EQ(fit.sigma_minimum, sigma.minimum());
    EXPECT_NEAR(fit.offset[0], sigma.minimum() + 0.25, 1e-3);  // min T is near 0
    EXPECT_NEAR(fit.error.offset[0], fit.offset[0], 1e-3);
    EXPECT_LT(fit.error.rms, 1e-3);
  }
}

TEST(PatternFit, TinyProblems) {
  const Dataset data = glyphs(5);
  const PatternFit pixel = fit_pattern(Pattern({1, 1}, 1, {0.5}), data, {.hidden = {4}});
  EXPECT_LT(pixel.error.rms, 1e-9);
  const PatternFit narrow = fit_pattern(demo_picture(16), data, {.hidden = {1, 1}});
  EXPECT_TRUE(std::isfinite(narrow.error.rms));
}

TEST(PatternFit, StopEndsIt) {
  std::stop_source source;
  FitOptions options{.hidden = {64, 512}};
  options.control.stop = source.get_token();
  options.control.progress = [&](const ProgressEvent&) { source.request_stop(); };
  EXPECT_THROW(fit_pattern(demo_picture(64), glyphs(20), options), Interrupted);
}

TEST(PatternFit, BadArguments) {
  const Pattern picture = product_of_sines({8});
  const Dataset data = glyphs(20);
  EXPECT_ERROR(fit_pattern(picture, data, {.hidden = {}}), InvalidArgument, "no hidden layers");
  EXPECT_ERROR(fit_pattern(picture, data, {.hidden = {8, 0}}), InvalidArgument, "width 0");
  EXPECT_ERROR(fit_pattern(picture, data, {.hidden = {8}, .margin = 0}), InvalidArgument, "margin 0");
  EXPECT_ERROR(fit_pattern(picture, data, {.hidden = {8}, .margin = std::nan("")}), InvalidArgument, "margin nan");
  EXPECT_ERROR(fit_pattern(picture, data, {.hidden = {8}, .feature_width = -1.0}), InvalidArgument, "feature_width -1");
  EXPECT_ERROR(fit_pattern(picture, data, {.hidden = {8}, .placed_share = 2.0}), InvalidArgument, "placed_share 2");
  EXPECT_ERROR(fit_pattern(picture, data, {.hidden = {8}, .ridge = -1.0}), InvalidArgument, "ridge -1");
  EXPECT_ERROR(fit_pattern(picture, data, {.hidden = {8}, .iterations = -1}), InvalidArgument, "-1 iterations");
  EXPECT_ERROR(parse_fit_method("magic"), InvalidArgument, "features, adam or refine");
  EXPECT_ERROR(fit_pattern(picture, tanh3(), {.hidden = {8}}), InvalidArgument, "label frequencies");
}

}  // namespace
}  // namespace lossatlas
