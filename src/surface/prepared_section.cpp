#include "surface/prepared_section.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <new>
#include <vector>

#include "base/check.hpp"
#include "base/host_memory.hpp"
#include "base/parallel.hpp"
#include "section/section_end.hpp"

namespace lossatlas {
namespace {

constexpr std::int64_t kBlockPoints = std::int64_t{1} << 20;  // whose losses are allocated at once

OutOfMemory too_many(std::int64_t points, std::int64_t numbers) {
  const double bytes = 8.0 * static_cast<double>(points) * static_cast<double>(numbers);
  return OutOfMemory(message("Landscape::evaluate", "received ", points, " points, which take ", bytes,
                             " bytes, expected fewer; use a smaller grid"),
                     static_cast<std::int64_t>(std::min(bytes, 9e18)));
}

SectionPlan planned(const Landscape& landscape, const Section& section, Plan choice, const Control& control) {
  try {
    return plan_section(landscape.network(), landscape.loss(), section, choice, control);
  } catch (const std::bad_alloc&) {
    const std::int64_t bytes = 8 * std::ssize(section.origin) * (1 + section.rank());
    throw OutOfMemory(
        message("plan_section", "received a section of ", section.rank(), " directions, whose plan takes ", bytes,
                " bytes, expected that much free memory; use fewer directions"),
        bytes);
  }
}

/// Reports `count` points, with `before` done already, as part of `total`.
Control part_of(const Control& control, std::int64_t before, std::int64_t count, std::int64_t total) {
  Control part{{}, control.stop};
  if (!control.progress) return part;
  part.progress = [&control, before, count, total](const ProgressEvent& event) {
    const double share = static_cast<double>(event.done) / static_cast<double>(std::max<std::int64_t>(1, event.total));
    control.progress({event.stage, before + static_cast<std::int64_t>(share * static_cast<double>(count)), total});
  };
  return part;
}

bool fits(const PlanChoice& chosen, const Landscape& landscape, const Control& control) {
  return SectionRange(chosen.plan, landscape.data(), chosen.precision, control).holds_somewhere();
}

}  // namespace

std::vector<double> magnitudes_of(const SectionPoints& points) {
  std::vector<double> top(static_cast<std::size_t>(points.rank()), 0.0);
  if (points.grid()) {
    for (std::size_t d = 0; d < top.size(); ++d) {
      const Axis& axis = points.grid()->axes()[d];
      top[d] = axis.points == 1 ? std::abs(axis.lo) : std::max(std::abs(axis.lo), std::abs(axis.hi));
    }
    return top;
  }
  const std::span<const double> list = points.list();
  for (std::size_t at = 0; at < list.size(); ++at) {
    double& largest = top[at % top.size()];
    largest = std::max(largest, std::abs(list[at]));
  }
  return top;
}

PlanChoice choose_plan(const Landscape& landscape, const Section& section, const EvaluateOptions& options) {
  PlanChoice chosen{planned(landscape, section, options.plan, options.control), options.precision};
  if (fits(chosen, landscape, options.control)) return chosen;
  chosen.precision = Precision::f64;
  if (chosen.plan.kind == PlanKind::direct || fits(chosen, landscape, options.control)) return chosen;
  chosen.plan = planned(landscape, section, Plan::direct, options.control);
  chosen.plan.out_of_range = true;
  return chosen;
}

PreparedSection::PreparedSection(const Landscape& landscape, const Section& section, const EvaluateOptions& options)
    : landscape_(landscape),
      section_(section),
      chosen_(choose_plan(landscape, section, options)),
      precision_(on_device(landscape).section_precision(chosen_.plan, chosen_.precision)),
      range_(chosen_.plan, landscape.data(), chosen_.precision, options.control) {}

void PreparedSection::prepare(const Control& control) {
  if (!on_device_) on_device_ = on_device(landscape_).section(chosen_.plan, chosen_.precision, control);
}

void PreparedSection::losses(const SectionPoints& points, const Control& control, std::span<double> losses) {
  prepare(control);
  on_device_->losses(points, control, losses);
  evaluate_out_of_range(points, control, losses);
  replace_ends(points, control, losses);
}

std::int64_t PreparedSection::replace_ends(const SectionPoints& points, const Control& control,
                                           std::span<double> losses) const {
  if (!has_ends()) return 0;
  const auto heads = static_cast<std::size_t>(plan().heads);
  std::int64_t replaced = 0;
  for_each_end(points, [&](std::int64_t g, std::span<const double> alpha) {
    evaluate_at(alpha, control, losses.subspan(static_cast<std::size_t>(g) * heads, heads));
    ++replaced;
  });
  return replaced;
}

void PreparedSection::evaluate_at(std::span<const double> alpha, const Control& control,
                                  std::span<double> losses) const {
  std::vector<double> accuracy(losses.size());
  on_device(landscape_).evaluate(section_.at(alpha), {{}, control.stop}, losses, accuracy);
}

void PreparedSection::evaluate_out_of_range(const SectionPoints& points, const Control& control,
                                            std::span<double> losses) {
  constexpr std::int64_t kPiece = 1024;
  if (range_.holds(magnitudes_of(points))) return;
  const auto heads = static_cast<std::size_t>(plan().heads), rank = static_cast<std::size_t>(points.rank());
  std::vector<double> alphas;
  for (std::int64_t first = 0; first < points.count(); first += kPiece) {
    check_stop(control);
    const std::int64_t count = std::min(kPiece, points.count() - first);
    alphas.resize(static_cast<std::size_t>(count) * rank);
    points.copy(first, count, alphas);
    for (std::int64_t g = 0; g < count; ++g) {
      const auto alpha = std::span<const double>(alphas).subspan(static_cast<std::size_t>(g) * rank, rank);
      if (range_.holds(magnitudes_of({alpha, points.rank()}))) continue;
      evaluate_at(alpha, control, losses.subspan(static_cast<std::size_t>(first + g) * heads, heads));
      ++out_of_range_;
    }
  }
}

std::string PreparedSection::range_note() const {
  if (out_of_range_ == 0) return {};
  return "\nrange: the plan's parts overflow at " + std::to_string(out_of_range_) +
         " points, whose parameters were formed first, in f64";
}

Surface PreparedSection::surface(const Grid& grid, std::span<const double> list, const Control& control) {
  const auto start = std::chrono::steady_clock::now();
  const std::int64_t points = grid.size(), heads = plan().heads, z = plan().rank;
  if (points > std::numeric_limits<std::int64_t>::max() / 8 / (heads + z)) throw too_many(points, heads + z);
  const SectionPoints all = list.empty() ? SectionPoints(grid, 0, points) : SectionPoints(list, z);
  Surface result;
  try {
    result.points.assign(list.begin(), list.end());
    result.losses.reserve(static_cast<std::size_t>(points * heads));
    prefer_large_pages(result.losses.data(), 8 * result.losses.capacity());
  } catch (const std::bad_alloc&) {
    throw too_many(points, heads + (list.empty() ? 0 : z));
  }
  result.grid = grid;
  result.heads = heads;
  result.precision = precision_;
  for (std::int64_t first = 0; first < points; first += kBlockPoints) {
    check_stop(control);
    const std::int64_t count = std::min(kBlockPoints, points - first);
    result.losses.resize(static_cast<std::size_t>((first + count) * heads));
    const auto part = std::span(result.losses).subspan(static_cast<std::size_t>(first * heads));
    losses(all.part(first, count), part_of(control, first, count, points), part);
    for (const double loss : part) result.nonfinite += !std::isfinite(loss);
  }
  result.device = landscape_.device().describe();
  result.plan = plan().explain(landscape_.data().size(), points, result.precision) + range_note();
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return result;
}

}  // namespace lossatlas
