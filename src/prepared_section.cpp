#include "prepared_section.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <new>
#include <vector>

#include "check.hpp"
#include "host_memory.hpp"
#include "parallel.hpp"
#include "section_end.hpp"

namespace lossatlas {
namespace {

constexpr std::int64_t kBlockPoints = std::int64_t{1} << 20;  // whose losses are made room for at once

OutOfMemory too_many(std::int64_t points, std::int64_t numbers) {
  const double bytes = 8.0 * static_cast<double>(points) * static_cast<double>(numbers);
  return OutOfMemory(message("Landscape::evaluate", "received ", points, " points, which take ", bytes,
                             " bytes, expected fewer; use a smaller grid"),
                     static_cast<std::int64_t>(std::min(bytes, 9e18)));
}

SectionPlan planned(const Landscape& landscape, const Section& section, const EvaluateOptions& options) {
  try {
    return plan_section(landscape.network(), landscape.loss(), section, options.plan, options.control);
  } catch (const std::bad_alloc&) {
    const std::int64_t bytes = 8 * std::ssize(section.origin) * (1 + section.rank());
    throw OutOfMemory(
        message("plan_section", "received a section of ", section.rank(), " directions, whose plan takes ", bytes,
                " bytes, expected that much free memory; use fewer directions"),
        bytes);
  }
}

/// Progress of `count` points after `before` of `total`.
Control part_of(const Control& control, std::int64_t before, std::int64_t count, std::int64_t total) {
  Control part{{}, control.stop};
  if (!control.progress) return part;
  part.progress = [&control, before, count, total](const ProgressEvent& event) {
    const double share = static_cast<double>(event.done) / static_cast<double>(std::max<std::int64_t>(1, event.total));
    control.progress({event.stage, before + static_cast<std::int64_t>(share * static_cast<double>(count)), total});
  };
  return part;
}

}  // namespace

PreparedSection::PreparedSection(const Landscape& landscape, const Section& section, const EvaluateOptions& options)
    : landscape_(landscape),
      section_(section),
      plan_(planned(landscape, section, options)),
      asked_(options.precision) {}

void PreparedSection::prepare(const Control& control) {
  if (!on_device_) on_device_ = on_device(landscape_).section(plan_, asked_, control);
}

Precision PreparedSection::precision(const Control& control) {
  prepare(control);
  return on_device_->precision();
}

void PreparedSection::losses(const SectionPoints& points, const Control& control, std::span<double> losses) {
  prepare(control);
  on_device_->losses(points, control, losses);
  if (section_.ends.empty()) return;
  // θ₀ + θᵢ would round.
  const auto heads = static_cast<std::size_t>(plan_.heads);
  std::vector<double> accuracy(heads);
  for_each_end(points, [&](std::int64_t g, std::span<const double> alpha) {
    const auto exact = losses.subspan(static_cast<std::size_t>(g) * heads, heads);
    on_device(landscape_).evaluate(section_.at(alpha), control, exact, accuracy);
  });
}

Surface PreparedSection::surface(const Grid& grid, std::span<const double> list, const Control& control) {
  const auto start = std::chrono::steady_clock::now();
  const std::int64_t points = grid.size(), heads = plan_.heads, z = plan_.rank;
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
  result.precision = precision(control);
  for (std::int64_t first = 0; first < points; first += kBlockPoints) {
    check_stop(control);
    const std::int64_t count = std::min(kBlockPoints, points - first);
    result.losses.resize(static_cast<std::size_t>((first + count) * heads));
    const auto part = std::span(result.losses).subspan(static_cast<std::size_t>(first * heads));
    losses(all.part(first, count), part_of(control, first, count, points), part);
    for (const double loss : part) result.nonfinite += !std::isfinite(loss);
  }
  result.device = landscape_.device().describe();
  result.plan = plan_.explain(landscape_.data().size(), points, result.precision);
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return result;
}

}  // namespace lossatlas
