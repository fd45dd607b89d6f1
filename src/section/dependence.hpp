// What each unit along a section depends on: the sample, the grid point, both or neither; and the parts of the layers
// between chosen units.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include <lossatlas/network.hpp>
#include <lossatlas/progress.hpp>
#include <lossatlas/section.hpp>

#include "base/parallel.hpp"
#include "section/plan.hpp"

namespace lossatlas {

using Units = std::vector<std::int32_t>;

/// Found forward over the graph, unit by unit; which units are live, that is can change the output, backward. The value
/// of an Add and those that it takes count as a whole: all their units are live, and each depends on whatever one of
/// them depends on. Nodes are indices into Network::nodes(); −1 is the input x, whose units are all live.
class Dependence {
 public:
  /// Takes O((z+1)·M). Network, section and control outlive it. Checks for stop requests.
  Dependence(const Network& network, const Section& section, const Control& control);

  const Network& network() const { return network_; }
  /// Throws Interrupted if a stop has been requested.
  void check() const { check_stop(control_); }

  Units all(std::int64_t node) const;
  Units live(std::int64_t node) const;
  Units not_point(std::int64_t node) const;    ///< live units that do not depend on the point
  Units not_sample(std::int64_t node) const;   ///< live units that do not depend on the sample
  Units sample_only(std::int64_t node) const;  ///< live units that depend on the sample alone
  bool depends_on_sample(std::int64_t node, std::int32_t unit) const;
  /// Whether any unit depends on the sample.
  bool depends_on_sample(std::int64_t node) const;
  /// Whether a live unit depends on both the sample and the point.
  bool is_joint(std::int64_t node) const;
  /// Whether a direction moves a weight of the node.
  bool moves_weights(std::int64_t node) const { return supports_[static_cast<std::size_t>(node)].directions > 0; }

  /// The dense layer of a node between chosen units of its value (rows) and of its input (cols), with the directions
  /// that move any of it.
  ChainLayer extract(std::int64_t node, const Units& rows, const Units& cols, bool with_bias) const;

 private:
  /// Which entries of one layer are non-zero anywhere on the section, and which of them α moves.
  struct Support {
    Support(const Network& network, const Section& section, std::int64_t node, const Control& control);
    std::int64_t in, out;
    std::vector<char> used;        // (out, in): non-zero in θ₀ or in a direction; of an Add: none
    std::vector<char> moved;       // (out): some direction moves a weight into the unit
    std::vector<char> bias_moved;  // (out)
    std::int64_t directions = 0;   // number of directions that move a weight
  };
  /// Of the units of one value.
  struct Flags {
    /// The live units for which keep(sample, point) is true.
    template <class Keep>
    Units chosen(Keep&& keep) const;
    std::vector<char> sample, point, live;
    bool whole;  ///< the value counts as a whole
  };

  void mark_dependence(std::int64_t node);
  void mark_live(std::int64_t node);
  Flags& flags(std::int64_t node) { return flags_[static_cast<std::size_t>(node + 1)]; }
  const Flags& flags(std::int64_t node) const { return flags_[static_cast<std::size_t>(node + 1)]; }

  const Network& network_;
  const Section& section_;
  const Control& control_;
  std::vector<Support> supports_;
  std::vector<Flags> flags_;  ///< of x, then of each node
};

}  // namespace lossatlas
