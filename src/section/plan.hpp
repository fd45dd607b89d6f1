// SectionPlan: what is computed once, what per sample, what per grid point, and what for every pair of both.
//
// Along a section every unit is one of: constant, sample-only (depends on x), point-only (depends on α), joint (on
// both). Let j be the first layer with a live joint unit. Below j the sample-only units are computed once per sample
// and the point-only units once per point, whatever N and G are. Layer j's pre-activation splits exactly into
//
//   z_j(g, n) = Σ_d c_d(g) A_d[n] + B[g],   A_d = W_{j,d} a_{j−1}(x_n) on sample units,   B = W_j(α) a_{j−1}(α) +
//   b_j(α),
//
// with c_0 = 1 and c_d = α_d. Only the layers above j see G·N rows. The known shortcuts are cases of this rule: a
// cached prefix and an affine first touched layer (all units below j sample-only), Theorem 2 of [C19] (sample-only
// beside point-only units), Theorem 1 (no joint unit at all: G rows in all and the label statistics). If the
// layer has so many more directions than inputs that the affine split costs twice the direct plan, that one is taken.
//
// In a network that is no chain of dense layers the same rule divides a graph (graph_plan.hpp).
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include <lossatlas/activation.hpp>
#include <lossatlas/evaluate_options.hpp>
#include <lossatlas/loss.hpp>
#include <lossatlas/network.hpp>
#include <lossatlas/precision.hpp>
#include <lossatlas/progress.hpp>
#include <lossatlas/section.hpp>
#include <lossatlas/section_cost.hpp>

namespace lossatlas {

/// a = φ(W(α) a₋ + b(α)) between chosen units of two layers, W(α) = W_0 + Σ_k α[weight_directions[k]] W_{k+1}; b alike.
struct ChainLayer {
  std::int64_t in = 0;  ///< 0: no inputs, the pre-activation is b(α)
  std::int64_t out = 0;
  Activation activation = Activation::identity;
  std::vector<std::int32_t> weight_directions;  ///< section directions that move W, ascending
  std::vector<std::int32_t> bias_directions;    ///< section directions that move b, ascending
  std::vector<double> weights;                  ///< (1 + |weight_directions|, out, in)
  std::vector<double> biases;                   ///< (1 + |bias_directions|, out), or empty: no bias

  bool shared() const { return weight_directions.empty() && bias_directions.empty(); }
};

struct GraphPlan;

enum class PlanKind : std::uint8_t {
  joint,        ///< sample_chain, point_chain, joint layer, later layers
  sample_free,  ///< Theorem 1: point_chain is the whole network; loss by label statistics
  quadratic,    ///< mean squared error of outputs that are affine in α (j = L, no point-only units): a quadratic form
  direct,       ///< later is the whole network, from the inputs
};

/// Counted work of a plan for N samples and G points.
struct PlanCost {
  double once_flop = 0;             ///< per call: sample chain, A_d
  double point_flop = 0;            ///< per point: point chain, forming weights that move
  double pair_flop = 0;             ///< per point and sample
  double once_transcendental = 0;   ///< activations except ReLU, exponentials and logarithms, per call
  double point_transcendental = 0;  ///< per point
  double pair_transcendental = 0;   ///< per point and sample
  double bytes = 0;            ///< read and written at least once over the whole call, inputs and parameters included
  std::int64_t workspace = 0;  ///< bytes held besides the data, before the first point runs

  double flop(std::int64_t samples, std::int64_t points) const;            ///< in all
  double transcendental(std::int64_t samples, std::int64_t points) const;  ///< in all
};

struct SectionPlan {
  PlanKind kind = PlanKind::joint;
  Loss loss = Loss::mean_squared_error;
  std::int64_t rank = 0;         ///< z
  std::int64_t heads = 1;        ///< H
  std::int64_t outputs = 0;      ///< H·C
  std::int64_t joint_index = 0;  ///< j − 1, index of the joint layer in the network (unused by sample_free and direct)
  std::vector<ChainLayer> sample_chain;  ///< layers 1..j−1 at θ₀ on units that do not depend on α; from all d inputs
  std::vector<ChainLayer>
      point_chain;          ///< layers 1..j−1 (sample_free: 1..L) on units that do not depend on x; first has in = 0
  ChainLayer joint_sample;  ///< sample units of layer j−1 → layer j, no bias: the A_d
  ChainLayer joint_point;   ///< point units of layer j−1 → layer j, with the bias: B
  std::vector<ChainLayer> later;  ///< layers j+1..L (direct: 1..L)
  /// The lists of a network that is no chain of dense layers, for which the chains and layers above stay empty.
  std::shared_ptr<const GraphPlan> graph;
  double network_flop = 0;    ///< of the whole network's products for one sample
  double pair_work = 0;       ///< FLOP of one point and sample, an activation as 30: what devices cut work by
  bool out_of_range = false;  ///< direct because a shortcut's parts would overflow (see section_range.hpp)

  PlanCost cost(std::int64_t samples, std::int64_t points, Precision precision) const;
  /// The totals of cost().
  SectionCost total(std::int64_t samples, std::int64_t points, Precision precision) const;
  /// One line per stage with counts and, given rates, the floor; this is what Landscape::explain() returns.
  std::string explain(std::int64_t samples, std::int64_t points, Precision precision,
                      const DeviceRates* rates = nullptr) const;
};

/// Plans a section from the support of its origin and directions and the counted work per point and sample; takes
/// O((z+1)·M). Checks for stop requests.
SectionPlan plan_section(const Network& network, Loss loss, const Section& section, Plan choice,
                         const Control& control = {});

}  // namespace lossatlas
