#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <new>

#include "base/check.hpp"
#include "section/graph_plan.hpp"
#include "surface/chebyshev_decay.hpp"
#include "surface/chebyshev_nodes.hpp"
#include "surface/chebyshev_surface.hpp"
#include "surface/chebyshev_tensor.hpp"
#include "surface/prepared_section.hpp"

namespace lossatlas {
namespace {

constexpr std::int64_t kMostNodes = 4097;             // along an axis; the transform takes K² per line
constexpr double kMostInAll = std::int64_t{1} << 25;  // losses; some 2 GB with their copies and coordinates
constexpr double kAsPointwise = 4;                    // times the floor: about as accurate as evaluation itself

bool has_kink(Activation activation) { return activation == Activation::relu || activation == Activation::leaky_relu; }

/// The first activation with a kink whose argument the section moves.
std::optional<Activation> moving_kink(const SectionPlan& plan) {
  const PlanLists lists = lists_of(plan);
  std::vector<bool> moves;  // of each value that depends only on the point
  for (const PlanStep& step : lists.point) {
    bool here = !step.adds() && !step.layer->shared();
    for (const std::int32_t input : step.inputs) here = here || moves[static_cast<std::size_t>(input)];
    if (here && has_kink(step.activation)) return step.activation;
    moves.push_back(here);
  }
  for (const Crossing& crossing : lists.crossings) {
    if (has_kink(crossing.activation)) return crossing.activation;
  }
  for (const PlanStep& step : lists.pair) {
    if (has_kink(step.activation)) return step.activation;
  }
  return std::nullopt;
}

/// Grows one interpolant.
class Growth {
 public:
  Growth(PreparedSection& section, std::vector<ChebyshevAxis> box, std::int64_t points, const EvaluateOptions& options)
      : samples_(section, std::move(box), points, options.control), points_(points) {
    fit_.report.tolerance = options.tolerance;
    fit_.report.nodes.assign(samples_.axes().size(), 0);
    fit_.report.resolution.assign(samples_.axes().size(), std::numeric_limits<double>::quiet_NaN());
    fit_.report.estimate = fit_.report.held_out_error = std::numeric_limits<double>::quiet_NaN();
    fit_.report.scale.assign(static_cast<std::size_t>(section.landscape().network().heads()), 0.0);
  }

  ChebyshevFit run(const SectionPlan& plan) {
    if (const auto kink = moving_kink(plan)) {
      return give_up(name(*kink), " has a kink, and the section moves its argument");
    }
    const std::int64_t start = plan.kind == PlanKind::quadratic ? kQuadratic : kStart;
    std::vector<std::int64_t> nodes;
    for (const ChebyshevAxis& axis : samples_.axes()) nodes.push_back(axis.lo == axis.hi ? 1 : start);
    for (;;) {
      const double after = static_cast<double>(samples_.evaluations()) + samples_.cost(nodes);
      if (after >= static_cast<double>(points_)) {
        return give_up("the next nodes would make ", after, " evaluations, and there are ", points_, " points");
      }
      const double losses = after * static_cast<double>(fit_.report.scale.size());
      if (*std::max_element(nodes.begin(), nodes.end()) > kMostNodes || losses > kMostInAll) {
        return give_up("the next nodes would be more than ", kMostNodes, " along an axis or ", kMostInAll,
                       " losses in all");
      }
      grow(nodes);
      if (!samples_.finite()) return give_up("a loss at a node or a held-out point is not finite");
      judge();
      if (!std::isfinite(fit_.report.held_out_error)) return give_up("the interpolant is not finite");
      if (fit_.report.estimate <= fit_.report.tolerance) return finish("the estimate meets the tolerance");
      const std::vector<std::int64_t> next = grown();
      if (next == nodes) return end_at_rounding();
      nodes = next;
    }
  }

 private:
  static constexpr std::int64_t kQuadratic = 3, kStart = 9;

  void grow(const std::vector<std::int64_t>& nodes) {
    const double numbers = 2 * static_cast<double>(fit_.report.scale.size() + nodes.size());  // old and new
    const double bytes = 8 * numbers * (static_cast<double>(samples_.evaluations()) + samples_.cost(nodes));
    try {
      samples_.grow(nodes);
    } catch (const std::bad_alloc&) {
      throw OutOfMemory(message("fit_chebyshev", "received a section whose next nodes take ", bytes,
                                " bytes, expected that much free memory; use a larger tolerance"),
                        static_cast<std::int64_t>(bytes));
    }
  }

  /// Sets the interpolant through the nodes so far, its decay along each axis, its error and the estimate.
  void judge() {
    ChebyshevReport& report = fit_.report;
    fit_.interpolant = samples_.interpolant();
    report.scale = samples_.scale();
    report.held_out_error = samples_.held_out_error(*fit_.interpolant);
    report.held_out_points = samples_.held_out_count();
    report.resolution = samples_.resolution();
    report.precision = samples_.precision();
    report.nodes.clear();
    decays_.clear();
    const double measured = 3 * report.held_out_error, level = rounding_level(report.precision);
    double tails = 0;
    for (std::size_t i = 0; i < samples_.axes().size(); ++i) {
      const std::int64_t nodes = samples_.axes()[i].nodes;
      report.nodes.push_back(nodes);
      decays_.push_back(nodes <= kQuadratic ? Decay{0, true}  // exact
                                            : decay_of(degree_profile(*fit_.interpolant, i, report.scale),
                                                       rounding_profile(samples_.axes(), i, level)));
      Decay& decay = decays_.back();
      if (decay.rounding) decay.tail = std::min(decay.tail, measured);  // sums of |rounding| overstate it
      tails += decay.tail;
    }
    floor_ = estimate_floor(samples_.axes(), report.precision);
    report.estimate = std::max({tails, measured, floor_});
  }

  /// The next nodes: K − 1 doubled along the axes with the largest tails, until the others leave a quarter of the
  /// tolerance; along all axes if only the held-out points disagree; the same nodes if only rounding is left.
  std::vector<std::int64_t> grown() const {
    const ChebyshevReport& report = fit_.report;
    const double rounding = std::max(rounding_level(report.precision), floor_);
    const bool hidden = !(report.held_out_error <= rounding);  // too large to be rounding
    std::vector<std::size_t> may;
    double tails = 0;
    for (std::size_t i = 0; i < decays_.size(); ++i) {
      if (report.nodes[i] > 1 && (hidden || !decays_[i].rounding)) may.push_back(i);
      tails += decays_[i].tail;
    }
    const double allowed = 0.75 * report.tolerance;
    const bool all = tails <= allowed;
    std::ranges::stable_sort(may, std::ranges::greater(), [this](std::size_t i) { return decays_[i].tail; });
    std::vector<std::int64_t> nodes = report.nodes;
    for (const std::size_t i : may) {
      if (!all && tails <= allowed) break;
      nodes[i] = 2 * nodes[i] - 1;
      tails -= decays_[i].tail;
    }
    return nodes;
  }

  /// Ends a fit that misses the tolerance and that more nodes would not help.
  ChebyshevFit end_at_rounding() {
    const ChebyshevReport& report = fit_.report;
    if (report.estimate <= kAsPointwise * floor_) return finish("the rounding of the precision is reached");
    return give_up("interpolation ends at ", report.estimate, ", above the tolerance, by the rounding of ",
                   name(report.precision), "; evaluation at every point is better");
  }

  ChebyshevFit finish(const char* reason) {
    ChebyshevReport& report = fit_.report;
    report.method = Method::chebyshev;
    report.reason = reason;
    report.met = report.estimate <= report.tolerance;
    report.evaluations = samples_.evaluations();
    report.saved = points_ - report.evaluations;
    return std::move(fit_);
  }

  template <class... Parts>
  ChebyshevFit give_up(const Parts&... parts) {
    TextStream reason;
    reason.precision(15);
    (reason << ... << parts);
    fit_.interpolant.reset();
    fit_.report.reason = reason.str();
    fit_.report.evaluations = samples_.evaluations();
    fit_.report.saved = -samples_.evaluations();
    return std::move(fit_);
  }

  ChebyshevNodes samples_;
  std::int64_t points_ = 0;
  ChebyshevFit fit_;
  std::vector<Decay> decays_;
  double floor_ = 0;
};

}  // namespace

std::vector<ChebyshevAxis> box_of(const Grid& grid) {
  std::vector<ChebyshevAxis> box;
  for (const Axis& axis : grid.axes()) {
    const auto [lo, hi] = std::minmax({axis.at(0), axis.at(axis.points - 1)});
    box.push_back({lo, hi, 0});
  }
  return box;
}

ChebyshevFit fit_box(PreparedSection& section, std::vector<ChebyshevAxis> box, std::int64_t points,
                     const EvaluateOptions& options) {
  require(options.tolerance > 0 && options.tolerance < 1, "fit_chebyshev", "received tolerance ", options.tolerance,
          ", expected more than 0 and less than 1, relative to the largest |L|");
  const Landscape& landscape = section.landscape();
  const SectionPlan plan =
      plan_section(landscape.network(), landscape.loss(), section.section(), Plan::automatic, options.control);
  return Growth(section, std::move(box), points, options).run(plan);
}

ChebyshevFit fit_chebyshev(const Landscape& landscape, const Section& section, const Grid& grid,
                           const EvaluateOptions& options) {
  require(grid.rank() == section.rank(), "fit_chebyshev", "received a grid of ", grid.rank(), " axes for ",
          section.rank(), " directions, expected one axis each");
  PreparedSection prepared(landscape, section, options);
  return fit_box(prepared, box_of(grid), grid.size(), options);
}

}  // namespace lossatlas
