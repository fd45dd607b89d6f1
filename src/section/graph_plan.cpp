#include "section/graph_plan.hpp"

#include <algorithm>
#include <utility>

namespace lossatlas {
namespace {

/// For a list that starts from `starts` values; the buffers of the values `kept`, and of the last, are never used
/// again.
ValueSlots assign_slots(std::span<const PlanStep> steps, std::int64_t starts, const std::vector<std::int32_t>& kept) {
  const auto index = [&](std::int32_t value) { return static_cast<std::size_t>(starts + value); };
  constexpr std::size_t kNever = std::numeric_limits<std::size_t>::max();
  // The last step that takes each value; starts come first, in the order −starts, ..., −1.
  std::vector<std::size_t> last(static_cast<std::size_t>(starts) + steps.size());
  for (std::size_t s = 0; s < steps.size(); ++s) {
    last[index(static_cast<std::int32_t>(s))] = s;
    for (const std::int32_t input : steps[s].inputs) last[index(input)] = std::max(last[index(input)], s);
  }
  for (const std::int32_t value : kept) last[index(value)] = kNever;
  if (!last.empty()) last.back() = kNever;
  ValueSlots slots;
  std::vector<std::size_t> free_after;  // of each buffer; kNever while its value is kept
  const auto take = [&](std::size_t now, std::size_t until) {
    for (std::size_t b = 0; b < free_after.size(); ++b) {
      if (free_after[b] == kNever || free_after[b] >= now) continue;
      free_after[b] = until;
      return static_cast<std::int32_t>(b);
    }
    free_after.push_back(until);
    return static_cast<std::int32_t>(free_after.size()) - 1;
  };
  slots.starts.resize(static_cast<std::size_t>(starts));
  for (std::int64_t k = 0; k < starts; ++k) {
    slots.starts[static_cast<std::size_t>(k)] = take(0, last[static_cast<std::size_t>(starts - 1 - k)]);
  }
  for (std::size_t s = 0; s < steps.size(); ++s) {
    slots.steps.push_back(take(s, last[static_cast<std::size_t>(starts) + s]));
  }
  slots.count = static_cast<std::int32_t>(free_after.size());
  return slots;
}

}  // namespace

void set_slots(PlanLists& lists) {
  std::vector<std::int32_t> offsets;
  for (const Crossing& crossing : lists.crossings) {
    if (crossing.offset != kNoValue) offsets.push_back(crossing.offset);
  }
  lists.sample_slots = assign_slots(lists.sample, 1, {});
  lists.point_slots = assign_slots(lists.point, 0, offsets);
  lists.pair_slots = assign_slots(lists.pair, std::ssize(lists.crossings), {});
}

double pair_work(std::int64_t outputs, const PlanLists& lists) {
  constexpr double kActivation = 30;  // also of an output's loss
  double flop = static_cast<double>(outputs) * kActivation;
  for (const Crossing& crossing : lists.crossings) {
    if (crossing.is_plain()) continue;
    flop += static_cast<double>(crossing.units) * (2 * static_cast<double>(crossing.parts.size()) + kActivation);
  }
  for (const PlanStep& step : lists.pair) {
    const auto in = static_cast<double>(step.adds() ? step.inputs.size() : static_cast<std::size_t>(step.layer->in));
    flop += static_cast<double>(step.out) * (2 * in + kActivation);
  }
  return flop;
}

PlanLists lists_of(const SectionPlan& plan) {
  if (plan.graph) return plan.graph->lists;
  PlanLists lists;
  const auto append = [](std::vector<PlanStep>& list, const ChainLayer& layer, std::int32_t part, std::int32_t input) {
    const bool whole = part == PlanStep::kWhole;
    list.push_back({&layer, part, {}, layer.out, whole ? layer.activation : Activation::identity});
    if (layer.in > 0) list.back().inputs.push_back(input);
    return static_cast<std::int32_t>(list.size()) - 1;
  };
  const auto chain = [&](std::vector<PlanStep>& list, const std::vector<ChainLayer>& layers) {
    for (const ChainLayer& layer : layers) {
      append(list, layer, PlanStep::kWhole, static_cast<std::int32_t>(list.size()) - 1);
    }
  };
  chain(lists.sample, plan.sample_chain);
  chain(lists.point, plan.point_chain);
  chain(lists.pair, plan.later);
  if (plan.kind == PlanKind::direct) {
    lists.crossings.push_back({-1, plan.later.front().in, Activation::identity, {-1}, {}, kNoValue});
  }
  if (plan.kind == PlanKind::direct || plan.kind == PlanKind::sample_free) {
    set_slots(lists);
    return lists;
  }
  const ChainLayer& sample = plan.joint_sample;
  Crossing crossing{plan.joint_index, sample.out, sample.activation, {}, sample.weight_directions, kNoValue};
  const auto input = static_cast<std::int32_t>(lists.sample.size()) - 1;
  for (std::size_t part = 0; part <= sample.weight_directions.size(); ++part) {
    crossing.parts.push_back(append(lists.sample, sample, static_cast<std::int32_t>(part), input));
  }
  crossing.offset =
      append(lists.point, plan.joint_point, PlanStep::kLinear, static_cast<std::int32_t>(lists.point.size()) - 1);
  lists.crossings.push_back(std::move(crossing));
  set_slots(lists);
  return lists;
}

}  // namespace lossatlas
