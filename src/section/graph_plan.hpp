// What a section plan computes as three lists: once per sample, once per grid point, and for every pair of both.
//
// A node of the network is early if no live unit depends on both the sample x and the point α. Its units are then
// values of the sample list or of the point list. An affine node has the pre-activation
//
//   z(α, x) = Σ_d c_d(α) A_d(x) + B(α),   c_0 = 1, c_d = α_d,
//
// which moved or unmoved weights on early values give, and which sums of such values without an activation, and dense
// layers with unmoved weights on them, keep: their A_d are values of the sample list, B is one of the point list. All
// others are joint and make up the pair list. Where it takes an early or an affine value, that value crosses over.
#pragma once

#include <cstdint>
#include <deque>
#include <limits>
#include <span>
#include <vector>

#include "section/dependence.hpp"
#include "section/plan.hpp"

namespace lossatlas {

/// One step of a list. Values of a list are numbered by the steps that compute them; what the list starts from has the
/// numbers −1, −2, ...
struct PlanStep {
  static constexpr std::int32_t kWhole = -1;   ///< φ(W(α) v + b(α))
  static constexpr std::int32_t kLinear = -2;  ///< W(α) v + b(α)

  const ChainLayer* layer = nullptr;  ///< null: φ(v₁ + v₂ + ...)
  std::int32_t part = kWhole;         ///< from 0: W_part v alone
  std::vector<std::int32_t> inputs;   ///< of a layer the value v; none: v has no entries
  std::int64_t out = 0;
  Activation activation = Activation::identity;

  bool adds() const { return layer == nullptr; }
};

inline constexpr std::int32_t kNoValue = std::numeric_limits<std::int32_t>::min();

/// A value φ(Σ_d c_d A_d + B) that the pair list starts from: number −1−k for the k-th one.
struct Crossing {
  std::int64_t node = -1;  ///< of the network
  std::int64_t units = 0;
  Activation activation = Activation::identity;
  std::vector<std::int32_t> parts;       ///< A_0, and A_d of each direction: values of the sample list
  std::vector<std::int32_t> directions;  ///< ascending
  std::int32_t offset = kNoValue;        ///< B: a value of the point list

  /// Whether it is A_0 itself.
  bool is_plain() const { return directions.empty() && offset == kNoValue && activation == Activation::identity; }
};

/// Buffers for the values of a list, so that a value's buffer is free again after the last step that takes it.
struct ValueSlots {
  std::vector<std::int32_t> starts, steps;  ///< buffer of each value
  std::int32_t count = 0;

  std::int32_t of(std::int32_t value) const {
    return value < 0 ? starts[static_cast<std::size_t>(-1 - value)] : steps[static_cast<std::size_t>(value)];
  }
};

struct PlanLists {
  std::vector<PlanStep> sample;  ///< starts from x; no direction moves its layers
  std::vector<PlanStep> point;   ///< starts from nothing; if no output depends on x, its last value is the output
  std::vector<Crossing> crossings;
  std::vector<PlanStep> pair;  ///< its last value, or else the only crossing, is the output
  /// Buffers of each list. Those of offsets, and of a list's last value, are never used again.
  ValueSlots sample_slots, point_slots, pair_slots;
};

struct GraphPlan {
  std::deque<ChainLayer> layers;  ///< of the steps
  PlanLists lists;
};

/// Fills in the plan of any network: the kind and the lists.
void plan_graph(SectionPlan& plan, const Dependence& units, Plan choice);

/// Sets the buffers of all lists.
void set_slots(PlanLists& lists);

/// SectionPlan::pair_work. Chunks of samples, and so the order of sums over them, follow from it.
double pair_work(std::int64_t outputs, const PlanLists& lists);

/// The lists of any plan, which outlives them.
PlanLists lists_of(const SectionPlan& plan);

}  // namespace lossatlas
