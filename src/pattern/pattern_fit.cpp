#include <algorithm>
#include <chrono>
#include <cmath>
#include <numeric>

#include <lossatlas/implicit_activation.hpp>
#include <lossatlas/landscape.hpp>
#include <lossatlas/pattern_fit.hpp>

#include "backend/backend.hpp"
#include "base/check.hpp"
#include "base/parallel.hpp"
#include "base/random.hpp"
#include "pattern/features.hpp"
#include "pattern/refine.hpp"

namespace lossatlas {
namespace {

constexpr double kFinestPixels = 0.6;     // width of the finest placed features, in pixels
constexpr std::int64_t kEvenUnits = 128;  // at most a quarter of the last hidden layer
constexpr double kEvenEnough =
    1e-2;  // held-out error, relative to the pattern's deviation, that even features must reach
constexpr std::int64_t kTrialFeatures = 1024;
constexpr std::int64_t kTrialPixels = 16000, kHeldOutPixels = 4000;
constexpr double kPlacedRidge = 1e-9;
constexpr EvenScale kEvenScales[] = {{2, 1}, {2, 2}, {2, 3}, {3, 1.5}, {4, 2}};

class Stopwatch {
 public:
  double seconds() const { return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count(); }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

void check_options(const FitOptions& options) {
  require(!options.hidden.empty(), "fit_pattern", "received no hidden layers, expected at least 1");
  for (const std::int64_t width : options.hidden) {
    require(width >= 1, "fit_pattern", "received a hidden layer of width ", width, ", expected at least 1");
  }
  require(std::isfinite(options.margin) && options.margin > 0, "fit_pattern", "received margin ", options.margin,
          ", expected a loss above 0");
  require(!options.feature_width || (*options.feature_width > 0 && std::isfinite(*options.feature_width)),
          "fit_pattern", "received feature_width ", options.feature_width.value_or(0), ", expected a length above 0");
  require(!options.placed_share || (*options.placed_share >= 0 && *options.placed_share <= 1), "fit_pattern",
          "received placed_share ", options.placed_share.value_or(0), ", expected 0 to 1");
  require(!options.ridge || (*options.ridge >= 0 && std::isfinite(*options.ridge)), "fit_pattern", "received ridge ",
          options.ridge.value_or(0), ", expected at least 0");
  require(options.iterations >= 0, "fit_pattern", "received ", options.iterations, " iterations, expected at least 0");
}

/// The regression that a fit amounts to: from h to the place s on each head's path with σ(base + s·direction) = T + a.
struct Task {
  Network network;             // z → hidden → heads
  Dataset data;                // (G) points h, targets s (heads)
  std::vector<double> offset;  // a (heads)
};

Task make_task(const Pattern& pattern, const ImplicitActivation& sigma, const FitOptions& options) {
  const std::int64_t points = pattern.size(), heads = pattern.channels();
  std::vector<double> offset;
  for (std::int64_t k = 0; k < heads; ++k) {
    double least = pattern.at(0, k);
    for (std::int64_t g = 1; g < points; ++g) least = std::min(least, pattern.at(g, k));
    offset.push_back(sigma.minimum() - least + options.margin);
  }
  const Grid grid = pattern.grid();
  const auto z = static_cast<std::size_t>(pattern.rank());
  std::vector<double> inputs(static_cast<std::size_t>(points) * z), targets(static_cast<std::size_t>(points * heads));
  grid.points(0, points, inputs);
  parallel_for(points, options.device.threads(), [&](std::int64_t g, int) {
    for (std::int64_t k = 0; k < heads; ++k) {
      targets[static_cast<std::size_t>(g * heads + k)] =
          sigma.inverse(pattern.at(g, k) + offset[static_cast<std::size_t>(k)]);
    }
  });
  std::vector<std::int64_t> widths = {pattern.rank()};
  widths.insert(widths.end(), options.hidden.begin(), options.hidden.end());
  widths.push_back(heads);
  return {mlp(std::move(widths), options.activation),
          Dataset::regression(std::move(inputs), pattern.rank(), std::move(targets), heads, pattern.name()),
          std::move(offset)};
}

/// `count` of the samples, in a random order drawn from the seed.
Dataset shuffled(const Dataset& data, std::int64_t count, std::uint64_t seed) {
  std::vector<std::int64_t> order(static_cast<std::size_t>(data.size()));
  std::iota(order.begin(), order.end(), 0);
  Random random(seed, 0x5a);
  for (std::int64_t n = 0; n < count; ++n) {
    std::swap(order[static_cast<std::size_t>(n)], order[static_cast<std::size_t>(n + random.below(data.size() - n))]);
  }
  std::vector<double> inputs, targets;
  for (std::int64_t n = 0; n < count; ++n) {
    const auto x = data.input(order[static_cast<std::size_t>(n)]);
    inputs.insert(inputs.end(), x.begin(), x.end());
    for (std::int64_t k = 0; k < data.outputs(); ++k)
      targets.push_back(data.target(order[static_cast<std::size_t>(n)], k));
  }
  return Dataset::regression(std::move(inputs), data.features(), std::move(targets), data.outputs(), data.name());
}

/// Solves for the last layer and writes it into theta.
void solve_last_layer(const Network& network, const DeviceLandscape& landscape, std::vector<double>& theta,
                      double ridge, const Control& control) {
  const LastLayer last = landscape.solve_last_layer(theta, ridge, control);
  const auto view = network.view(std::span<double>(theta), network.depth() - 1);
  std::copy(last.weights.begin(), last.weights.end(), view.weight.data);
  std::copy(last.bias.begin(), last.bias.end(), view.bias.begin());
}

class Fitter {
 public:
  Fitter(const Pattern& pattern, const Dataset& train, const FitOptions& options)
      : pattern_(pattern),
        train_(train),
        options_(options),
        sigma_(options.loss, train),
        task_(make_task(pattern, sigma_, options)),
        backend_(make_backend(options.device)),
        landscape_(backend_->landscape(task_.network, task_.data, Loss::mean_squared_error)) {}

  PatternFit run() {
    PatternFit fit;
    fit.offset = task_.offset;
    fit.sigma_minimum = sigma_.minimum();
    std::vector<double> theta = options_.method == FitMethod::adam ? train_by_adam(fit) : solve_features(fit);
    if (options_.method == FitMethod::refine) refine(fit, theta);
    if (best_.empty()) keep_if_better(theta, fit);
    assemble(best_, fit);
    fit.error = best_error_;
    fit.seconds.total = watch_.seconds();
    return fit;
  }

 private:
  Regression regression() const { return {task_.network, task_.data, *landscape_}; }

  std::vector<double> solve_features(PatternFit& fit) {
    const Stopwatch features;
    const bool placed = options_.placed_share.value_or(0) > 0 || (!even_is_enough() && !options_.placed_share);
    std::vector<double> theta = placed ? place() : even_features(task_.network, even_scale_, options_.seed);
    fit.seconds.features = features.seconds();
    const Stopwatch solve;
    solve_last_layer(task_.network, *landscape_, theta, options_.ridge.value_or(placed ? kPlacedRidge : -1),
                     options_.control);
    fit.seconds.solve = solve.seconds();
    keep_if_better(theta, fit);
    return theta;
  }

  /// Whether even features of the best scale reproduce pixels that they were not fitted to. A narrow network shows
  /// this; the best scale depends on the width, so it is chosen again at full width.
  bool even_is_enough() {
    const std::int64_t held_out = std::min(kHeldOutPixels, task_.data.size() / 10);
    if (held_out == 0) return true;
    const Dataset pixels = shuffled(task_.data, std::min(kTrialPixels + held_out, task_.data.size()), options_.seed);
    const Dataset fitted = pixels.slice(held_out, pixels.size()), left_out = pixels.slice(0, held_out);
    const double loss = choose_even_scale(fitted, left_out, kTrialFeatures);
    if (loss > kEvenEnough * kEvenEnough * label_statistics(task_.data).variance) return false;
    const std::int64_t widest = *std::max_element(options_.hidden.begin(), options_.hidden.end());
    if (widest > kTrialFeatures) choose_even_scale(fitted, left_out, widest);
    return true;
  }

  /// Sets even_scale_ to the scale that best reproduces `left_out` after a fit to `fitted` with widths up to `widest`.
  double choose_even_scale(const Dataset& fitted, const Dataset& left_out, std::int64_t widest) {
    std::vector<std::int64_t> widths = {pattern_.rank()};
    for (const std::int64_t width : options_.hidden) widths.push_back(std::min(width, widest));
    widths.push_back(pattern_.channels());
    const Network network = mlp(std::move(widths), options_.activation);
    const auto on_fitted = backend_->landscape(network, fitted, Loss::mean_squared_error);
    const auto on_left_out = backend_->landscape(network, left_out, Loss::mean_squared_error);
    std::vector<EvenScale> scales(std::begin(kEvenScales), std::end(kEvenScales));
    if (options_.feature_width) scales = {{1 / *options_.feature_width, 2}};
    double least = std::numeric_limits<double>::infinity();
    for (const EvenScale scale : scales) {
      std::vector<double> theta = even_features(network, scale, options_.seed);
      solve_last_layer(network, *on_fitted, theta, options_.ridge.value_or(-1), {{}, options_.control.stop});
      const double loss = Regression{network, left_out, *on_left_out}.loss(theta, options_.control);
      if (loss < least) least = loss, even_scale_ = scale;
    }
    return least;
  }

  std::vector<double> place() {
    double spacing = 0;
    for (const std::int64_t n : pattern_.shape())
      spacing = std::max(spacing, n > 1 ? 1 / static_cast<double>(n - 1) : 1.0);
    const std::int64_t units = options_.hidden.back();
    const auto even = options_.placed_share ? std::llround((1 - *options_.placed_share) * static_cast<double>(units))
                                            : std::min(kEvenUnits, units / 4);
    return placed_features(task_.network, task_.data,
                           {.spacing = spacing,
                            .finest = options_.feature_width.value_or(kFinestPixels * spacing),
                            .even_units = even,
                            .seed = options_.seed,
                            .threads = options_.device.threads(),
                            .control = options_.control});
  }

  void refine(PatternFit& fit, const std::vector<double>& theta) {
    const Stopwatch watch;
    levenberg_marquardt(regression(), theta,
                        {.iterations = options_.iterations ? options_.iterations : 12,
                         .control = options_.control,
                         .accepted = [&](std::span<const double> better) { keep_if_better(better, fit); }});
    fit.seconds.refine = watch.seconds();
  }

  std::vector<double> train_by_adam(PatternFit& fit) {
    const Stopwatch watch;
    const Dataset data = shuffled(task_.data, task_.data.size(), options_.seed);
    const auto landscape = backend_->landscape(task_.network, data, Loss::mean_squared_error);
    std::vector<double> theta = even_features(task_.network, {}, options_.seed);
    const std::vector<double> mean = label_statistics(data).mean;  // so that the last layer need not learn the mean
    std::copy(mean.begin(), mean.end(),
              task_.network.view(std::span<double>(theta), task_.network.depth() - 1).bias.begin());
    AdamOptions adam_options{.control = options_.control};
    if (options_.iterations) adam_options.iterations = options_.iterations;
    adam_options.reported = [&](std::span<const double> now) { keep_if_better(now, fit); };
    theta = adam({task_.network, data, *landscape}, std::move(theta), adam_options);
    solve_last_layer(task_.network, *landscape_, theta, options_.ridge.value_or(kPlacedRidge), options_.control);
    keep_if_better(theta, fit);
    fit.seconds.refine = watch.seconds();
    return theta;
  }

  /// Measures the surface on the pattern's pixels and keeps theta if it is the best so far.
  void keep_if_better(std::span<const double> theta, PatternFit& fit) {
    PatternFit candidate;
    assemble(theta, candidate);
    const Landscape landscape(candidate.network, train_, options_.loss, options_.device);
    const Surface surface =
        landscape.evaluate(candidate.section, pattern_.grid(), {.control = {{}, options_.control.stop}});
    PatternError error = pattern_error(surface, pattern_);
    if (best_.empty() || error.rms < best_error_.rms) {
      best_.assign(theta.begin(), theta.end());
      best_error_ = std::move(error);
    }
    fit.steps.push_back({watch_.seconds(), best_error_.psnr_db});
  }

  /// Builds the network d → hidden → H·C around the parameters of z → hidden → H, and its section.
  void assemble(std::span<const double> theta, PatternFit& fit) const {
    const std::int64_t heads = pattern_.channels(), classes = train_.outputs(), depth = task_.network.depth();
    std::vector<std::int64_t> widths = {train_.features()};
    widths.insert(widths.end(), options_.hidden.begin(), options_.hidden.end());
    widths.push_back(heads * classes);
    fit.network = mlp(std::move(widths), options_.activation, {.heads = heads});
    std::vector<double> origin(static_cast<std::size_t>(fit.network.parameter_count()), 0.0);
    std::vector<double> directions(origin.size() * static_cast<std::size_t>(pattern_.rank()), 0.0);
    const auto first = task_.network.view(theta, 0);
    const auto first_bias = static_cast<std::size_t>(fit.network.blocks()[1].offset);
    std::copy(first.bias.begin(), first.bias.end(), origin.begin() + static_cast<std::ptrdiff_t>(first_bias));
    for (std::int64_t j = 0; j < first.weight.out; ++j) {
      for (std::int64_t i = 0; i < first.weight.in; ++i) {
        directions[static_cast<std::size_t>(i) * origin.size() + first_bias + static_cast<std::size_t>(j)] =
            first.weight(j, i);
      }
    }
    const std::span<double> inside(origin);
    for (std::int64_t l = 1; l + 1 < depth; ++l) {
      const auto from = task_.network.view(theta, l);
      const auto to = fit.network.view(inside, l);
      std::copy_n(from.weight.data, from.weight.size(), to.weight.data);
      std::copy(from.bias.begin(), from.bias.end(), to.bias.begin());
    }
    const auto from = task_.network.view(theta, depth - 1);
    const auto to = fit.network.view(inside, depth - 1);
    for (std::int64_t k = 0; k < heads; ++k) {
      for (std::int64_t c = 0; c < classes; ++c) {
        const double share = sigma_.path_direction()[static_cast<std::size_t>(c)];
        const std::int64_t row = k * classes + c;
        for (std::int64_t i = 0; i < from.weight.in; ++i) to.weight(row, i) = share * from.weight(k, i);
        to.bias[static_cast<std::size_t>(row)] =
            sigma_.path_base()[static_cast<std::size_t>(c)] + share * from.bias[static_cast<std::size_t>(k)];
      }
    }
    fit.section = make_section(fit.network, std::move(origin), std::move(directions));
  }

  const Pattern& pattern_;
  const Dataset& train_;
  const FitOptions& options_;
  Stopwatch watch_;
  ImplicitActivation sigma_;
  Task task_;
  std::shared_ptr<const Backend> backend_;
  std::unique_ptr<DeviceLandscape> landscape_;
  EvenScale even_scale_;
  std::vector<double> best_;
  PatternError best_error_;
};

}  // namespace

std::string_view name(FitMethod method) {
  switch (method) {
    case FitMethod::features:
      return "features";
    case FitMethod::adam:
      return "adam";
    case FitMethod::refine:
      return "refine";
  }
  return "unknown";
}

FitMethod parse_fit_method(std::string_view text) {
  for (const FitMethod method : {FitMethod::features, FitMethod::adam, FitMethod::refine}) {
    if (text == name(method)) return method;
  }
  throw InvalidArgument(message("parse_fit_method", "received \"", text, "\", expected features, adam or refine"));
}

PatternFit fit_pattern(const Pattern& pattern, const Dataset& train, const FitOptions& options) {
  check_options(options);
  return Fitter(pattern, train, options).run();
}

}  // namespace lossatlas
