#include <lossatlas/critical_point.hpp>

#include <algorithm>
#include <cmath>
#include <limits>
#include <new>
#include <optional>
#include <set>
#include <stdexcept>
#include <utility>

#include <lossatlas/error.hpp>
#include <lossatlas/optimise.hpp>

#include "base/check.hpp"
#include "base/host_memory.hpp"
#include "base/parallel.hpp"
#include "base/random.hpp"
#include "base/vectors.hpp"
#include "critical/critical_class.hpp"
#include "critical/saturation.hpp"
#include "critical/separation.hpp"
#include "curvature/hessian_matrix.hpp"
#include "curvature/spectrum.hpp"
#include "linalg/blas.hpp"

namespace lossatlas {
namespace {

constexpr double kStillMoving = 1e-6;  // Newton steps this long, relative to ‖θ‖, betray a point at infinity
constexpr int kFurtherSteps = 2;       // Newton steps that test finiteness
constexpr double kAboveNoise = 10;     // a gradient component this many times its rounding error is signal
constexpr double kNearby = 0.1;        // how far Newton may go from the end of a descent, relative to ‖θ‖
constexpr double kClearGap = 1000;     // ratio of eigenvalues around the zero threshold that makes the inertia certain
constexpr std::int64_t kLookOut = 10;  // Newton iterations between checks for a path to infinity

void check_options(const CriticalPointOptions& options, const char* function) {
  require(std::isfinite(options.tolerance) && options.tolerance > 0, function, "received tolerance ", options.tolerance,
          ", expected a positive bound on the gradient, such as 1e-12");
  require(options.descent_iterations >= 0 && options.polish_iterations >= 0, function, "received ",
          options.descent_iterations, " and ", options.polish_iterations,
          " iterations, expected at least 0 of descent and of polish");
  require(std::isfinite(options.descent_rate) && options.descent_rate > 0, function, "received descent_rate ",
          options.descent_rate, ", expected a positive rate");
}

void check_start(const Landscape& landscape, std::span<const double> theta, const char* function) {
  require(static_cast<std::int64_t>(theta.size()) == landscape.network().parameter_count(), function, "received ",
          theta.size(), " parameters, expected ", landscape.network().parameter_count());
  require_finite(theta, function, "theta");
  check_vector_size(landscape, function);
}

/// The rounding error of ‖∇R‖₂, measured by moving θ by one unit in the last place.
double gradient_noise(const Landscape& landscape, std::span<const double> theta, std::span<const double> gradient,
                      const Control& control) {
  std::vector<double> next(theta.begin(), theta.end());
  for (std::size_t i = 0; i < next.size(); ++i) {
    next[i] = std::nextafter(
        next[i], i % 2 ? -std::numeric_limits<double>::infinity() : std::numeric_limits<double>::infinity());
  }
  return norm_l2(moved(landscape.gradient(next, {{}, control.stop}), -1, gradient));
}

/// The Newton step from the gradient components above `noise` and the eigenvalues above rounding.
std::vector<double> significant_step(const Spectrum& spectrum, std::span<const double> gradient, double noise) {
  const std::size_t size = gradient.size();
  const double norm = std::max(std::abs(spectrum.eigenvalues.front()), std::abs(spectrum.eigenvalues.back()));
  const double cut = static_cast<double>(size) * std::numeric_limits<double>::epsilon() * norm;
  std::vector<double> d(size, 0.0);
  for (std::size_t k = 0; k < size; ++k) {
    const std::span<const double> v(spectrum.eigenvectors.data() + k * size, size);
    const double lambda = spectrum.eigenvalues[k], part = dot(v, gradient);
    if (std::abs(lambda) > cut && std::abs(part) > kAboveNoise * noise) d = moved(d, -part / lambda, v);
  }
  return d;
}

/// Whether further Newton steps keep moving θ. They need not lower ‖∇R‖: valleys that lead to infinity are curved. Only
/// a few are tried, because along such a valley the gradient is soon all rounding.
bool goes_on_moving(const Landscape& landscape, std::span<const double> start, const Control& control) {
  std::vector<double> theta(start.begin(), start.end());
  for (int step = 0; step < kFurtherSteps; ++step) {
    check_stop(control);
    const std::optional<Spectrum> spectrum = spectrum_where_finite(landscape, theta, {.vectors = true}, control);
    if (!spectrum) return true;
    const std::vector<double> gradient = landscape.gradient(theta, {{}, control.stop});
    const double noise = gradient_noise(landscape, theta, gradient, control);
    const std::vector<double> d = significant_step(*spectrum, gradient, noise);
    if (!(norm_l2(d) > kStillMoving * norm_l2(theta))) return false;
    theta = moved(theta, 1, d);
  }
  return true;
}

CriticalPoint certify_point(const Landscape& landscape, std::span<const double> theta, double tolerance,
                            const Control& control) {
  CriticalPoint point;
  point.theta.assign(theta.begin(), theta.end());
  point.loss = landscape.evaluate(theta, {{}, control.stop}).loss();
  const std::vector<double> gradient = landscape.gradient(theta, {{}, control.stop});
  point.gradient_l1 = norm_l1(gradient);
  point.gradient_max = norm_max(gradient);
  std::optional<Spectrum> spectrum;
  if (std::isfinite(point.gradient_l1)) spectrum = spectrum_where_finite(landscape, theta, {}, control);
  if (!spectrum) {
    point.remark = "the gradient or the Hessian is not finite";
    return point;
  }
  point.inertia = spectrum->inertia;
  point.zero = spectrum->zero;
  point.device = spectrum->device;
  const bool small = point.gradient_l1 <= tolerance;
  point.remark = neuron_at_infinity(landscape, theta, control);
  if (point.remark.empty() && small && falls_for_ever(landscape, theta, control)) {
    point.remark = "the cross entropy goes on falling on samples whose probabilities are 1 up to 1e-8";
  }
  if (point.remark.empty() && small && goes_on_moving(landscape, theta, control)) {
    point.remark = "further Newton steps go on moving the parameters";
  }
  point.finite = point.remark.empty();
  point.critical = small && point.finite;
  if (!small && point.finite) point.remark = "the gradient is above the tolerance";
  return point;
}

StoppingRule rule_of(std::int64_t iterations, const Control& control) {
  StoppingRule rule;
  rule.iterations = iterations;
  rule.control = control;
  return rule;
}

std::vector<double> descend(const Landscape& landscape, std::span<const double> start, std::int64_t iterations,
                            const CriticalPointOptions& options) {
  std::vector<double> theta =
      optimise(landscape, start, Adam{.rate = options.descent_rate}, rule_of(iterations, options.control)).theta;
  // Removes a common shift of the outputs, which no step would change and which only adds rounding.
  if (landscape.loss() == Loss::cross_entropy) centre_outputs(landscape.network(), theta);
  return theta;
}

OptimiserResult newton(const Landscape& landscape, std::span<const double> start, const CriticalPointOptions& options) {
  return optimise(landscape, start, Newton{}, rule_of(options.polish_iterations, options.control));
}

/// Where the descent from `start`, and the polish after it, end.
std::vector<double> follow(const Landscape& landscape, std::span<const double> start,
                           const CriticalPointOptions& options) {
  const std::vector<double> end = descend(landscape, start, options.descent_iterations, options);
  if (!std::isfinite(norm_l1(end))) return end;
  OptimiserResult near = newton(landscape, end, options);
  if (near.gradient_l1 <= options.tolerance && norm_l2(moved(near.theta, -1, end)) <= kNearby * norm_l2(end)) {
    return std::move(near.theta);
  }
  const OptimiserResult low =
      optimise(landscape, end, LevenbergMarquardt{}, rule_of(options.polish_iterations, options.control));
  return newton(landscape, low.theta, options).theta;
}

/// Newton's method, stopped once a neuron is at infinity.
std::vector<double> newton_among_finite(const Landscape& landscape, std::span<const double> start,
                                        const CriticalPointOptions& options) {
  StoppingRule rule = rule_of(options.polish_iterations, options.control);
  rule.record_every = kLookOut;
  rule.callback = [&](const OptimiserStep&, std::span<const double> theta) {
    return neuron_at_infinity(landscape, theta, options.control).empty();
  };
  return optimise(landscape, start, Newton{}, rule).theta;
}

/// Whether the loss has no descent direction and each neuron responds to the data: if Newton made ReLU neurons die, the
/// descent, in which they still live, goes on elsewhere.
bool is_minimum(const Landscape& landscape, const CriticalPoint& point, const Control& control) {
  return point.critical && point.inertia.negative == 0 &&
         fold_constant_neurons(landscape, point.theta, control) == point.theta;
}

/// Where Newton leads from the points of the descent after ⌊2^(u+k)⌋ − 1 iterations, k = 0, 1, ..., until it leads to a
/// minimum or the descent is on its way to infinity: later points lead to the same.
std::vector<CriticalPoint> passed_by(const Landscape& landscape, std::span<const double> start, double u,
                                     const CriticalPointOptions& options) {
  const double most = std::min(static_cast<double>(options.descent_iterations), 0x1p62);  // to count in 64 bits
  std::vector<CriticalPoint> points;
  for (double length = std::exp2(u); std::floor(length) - 1 <= most; length *= 2) {
    std::vector<double> theta = descend(landscape, start, static_cast<std::int64_t>(length) - 1, options);
    const bool on = std::isfinite(norm_l1(theta)) && neuron_at_infinity(landscape, theta, options.control).empty();
    if (on) theta = newton_among_finite(landscape, theta, options);
    points.push_back(certify_point(landscape, theta, options.tolerance, options.control));
    if (!on || is_minimum(landscape, points.back(), options.control)) break;
  }
  return points;
}

std::vector<CriticalPoint> from_start(const Landscape& landscape, std::int64_t index,
                                      const CriticalSearchOptions& options, const CriticalPointOptions& each) {
  Random random(options.init.seed, static_cast<std::uint64_t>(index));
  const std::uint64_t high = random.bits(), low = random.bits();
  InitOptions init = options.init;
  init.seed = high << 32 | low;
  const std::vector<double> start = random_parameters(landscape.network(), init);
  if (index % 2 != 0) return passed_by(landscape, start, random.uniform(), each);
  return {certify_point(landscape, follow(landscape, start, each), each.tolerance, each.control)};
}

using StartPoints = std::vector<std::vector<CriticalPoint>>;

bool on_host(const Landscape& landscape) { return landscape.device().kind() == Device::Kind::cpu; }

[[noreturn]] void refuse_starts(std::int64_t starts, double bytes) {
  const auto whole = static_cast<std::int64_t>(std::min(bytes, 0x1p62));
  throw OutOfMemory(message("search_critical_points", "received ", starts, " starts, whose points and matrices take ",
                            whole, " bytes, expected that much free; use fewer starts or threads"),
                    whole);
}

/// Makes room for the points of every start, at least one each; also checks memory for the matrices of starts that run
/// at once.
StartPoints start_points(const Landscape& landscape, std::int64_t starts) {
  constexpr double kMatrices = 4;  // Hessian, eigenvectors, LAPACK's workspace of two
  const auto parameters = static_cast<double>(landscape.network().parameter_count());
  const auto together =
      static_cast<double>(on_host(landscape) ? std::min<std::int64_t>(landscape.device().threads(), starts) : 1);
  const double each = static_cast<double>(sizeof(StartPoints::value_type) + sizeof(CriticalPoint)) + 8 * parameters;
  const double bytes = static_cast<double>(starts) * each + together * kMatrices * 8 * parameters * parameters;
  if (!fits_host_memory(bytes)) refuse_starts(starts, bytes);
  try {
    return StartPoints(static_cast<std::size_t>(starts));
  } catch (const std::bad_alloc&) {
    refuse_starts(starts, bytes);
  } catch (const std::length_error&) {
    refuse_starts(starts, bytes);
  }
}

/// The points that each start leads to, in the order of the starts.
StartPoints follow_starts(const Landscape& landscape, const CriticalSearchOptions& options) {
  StartPoints points = start_points(landscape, options.starts);
  std::optional<Landscape> alone;  // one thread for each of the parallel starts
  if (on_host(landscape)) {
    alone.emplace(landscape.network(), landscape.data(), landscape.loss(), Device::cpu({.threads = 1}));
  }
  const cpu::SingleThreadedBlas guard;
  CriticalPointOptions each = options.each;
  each.control.progress = nullptr;
  parallel_for(options.starts, alone ? landscape.device().threads() : 1, options.each.control, "starts",
               [&](std::int64_t i, int) {
                 points[static_cast<std::size_t>(i)] = from_start(alone ? *alone : landscape, i, options, each);
               });
  return points;
}

/// A finite critical point, and the start that led to it.
struct Found {
  CriticalPoint point;
  std::int64_t start = 0;
  bool constant = false;
};

/// Sorts out what one start led to: appends the points that belong in classes to `found`, or counts the start.
void sort_out(const Landscape& landscape, std::int64_t start, std::vector<CriticalPoint> points, const Control& control,
              CriticalSearch& search, std::vector<Found>& found) {
  const std::size_t before = found.size();
  bool zero = false, infinite = false;
  for (CriticalPoint& point : points) {
    infinite = infinite || !point.finite;
    if (!point.critical) continue;
    const OutputKind kind = output_kind(landscape, point.theta, control);
    zero = zero || kind == OutputKind::zero;
    if (kind != OutputKind::zero) found.push_back({std::move(point), start, kind == OutputKind::constant});
  }
  const bool none = found.size() == before;
  ++(!none ? search.found : zero ? search.vanishing_output : infinite ? search.at_infinity : search.not_converged);
}

bool represents_better(const CriticalPoint& a, const CriticalPoint& b) {
  const bool clear_a = a.zero.gap >= kClearGap, clear_b = b.zero.gap >= kClearGap;
  return clear_a == clear_b ? a.gradient_l1 < b.gradient_l1 : clear_a;
}

/// A class under construction.
struct Gathering {
  CriticalClass result;
  CanonicalForm first;
  std::set<std::int64_t> starts;

  bool takes(const Found& one, const CanonicalForm& form, double same) const {
    return one.constant == result.constant && (one.constant || same_form(first, form, same));
  }

  void add(Found one) {
    CriticalPoint& point = one.point;
    if (std::find(result.inertias.begin(), result.inertias.end(), point.inertia) == result.inertias.end()) {
      result.inertias.push_back(point.inertia);
    }
    const bool better = starts.empty() || represents_better(point, result.representative);
    starts.insert(one.start);
    result.count = static_cast<std::int64_t>(starts.size());
    if (better) result.representative = std::move(point);
  }
};

/// Groups points, sorted by loss, into classes, comparing each with the first point of every class. Sorts the classes
/// again by their representatives, which need not be their first points.
std::vector<CriticalClass> classes_of(const Landscape& landscape, std::vector<Found> points, double same,
                                      const Control& control) {
  std::vector<Gathering> gatherings;
  for (Found& one : points) {
    CanonicalForm form = canonical_form(landscape, one.point.theta, same, control);
    auto to = std::find_if(gatherings.begin(), gatherings.end(),
                           [&](const Gathering& gathering) { return gathering.takes(one, form, same); });
    if (to == gatherings.end()) {
      to = gatherings.insert(to, {{}, std::move(form), {}});
      to->result.constant = one.constant;
    }
    to->add(std::move(one));
  }
  std::vector<CriticalClass> classes;
  for (Gathering& gathering : gatherings) classes.push_back(std::move(gathering.result));
  std::stable_sort(classes.begin(), classes.end(), [](const CriticalClass& a, const CriticalClass& b) {
    return a.representative.loss < b.representative.loss;
  });
  return classes;
}

void check_search(const Network& network, const CriticalSearchOptions& options) {
  constexpr const char* kName = "search_critical_points";
  check_options(options.each, kName);
  require(options.starts >= 1, kName, "received ", options.starts, " starts, expected at least 1");
  random_parameters(network, options.init);  // throws on bad options
  require(options.same > 0 && options.same < 1, kName, "received same = ", options.same,
          ", expected a relative distance between 0 and 1");
}

}  // namespace

CriticalPoint find_critical_point(const Landscape& landscape, std::span<const double> start,
                                  const CriticalPointOptions& options) {
  check_options(options, "find_critical_point");
  check_start(landscape, start, "find_critical_point");
  return certify_point(landscape, follow(landscape, start, options), options.tolerance, options.control);
}

CriticalPoint certify_critical_point(const Landscape& landscape, std::span<const double> theta, double tolerance) {
  require(std::isfinite(tolerance) && tolerance > 0, "certify_critical_point", "received tolerance ", tolerance,
          ", expected a positive bound on the gradient, such as 1e-12");
  check_start(landscape, theta, "certify_critical_point");
  return certify_point(landscape, theta, tolerance, {});
}

CriticalSearch search_critical_points(const Landscape& landscape, const CriticalSearchOptions& options) {
  check_search(landscape.network(), options);
  check_vector_size(landscape, "search_critical_points");
  CriticalSearch search;
  std::vector<Found> found;
  std::int64_t start = 0;
  for (std::vector<CriticalPoint>& points : follow_starts(landscape, options)) {
    sort_out(landscape, start++, std::move(points), options.each.control, search, found);
  }
  std::stable_sort(found.begin(), found.end(),
                   [](const Found& a, const Found& b) { return a.point.loss < b.point.loss; });
  search.classes = classes_of(landscape, std::move(found), options.same, options.each.control);
  return search;
}

}  // namespace lossatlas
