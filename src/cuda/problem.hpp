// A network, data set and loss, with the data in device memory.
#pragma once

#include <cstdint>
#include <type_traits>

#include <lossatlas/dataset.hpp>
#include <lossatlas/loss.hpp>
#include <lossatlas/network.hpp>

#include "../kernels/layer_parts.hpp"
#include "cuda/memory.hpp"

namespace lossatlas::cuda {

class Problem {
 public:
  /// Uploads the data on the stream of `memory` and waits.
  Problem(Network network, const Dataset& data, Loss loss, Memory& memory);

  const Network& network() const { return network_; }
  Loss loss() const { return loss_; }
  std::int64_t samples() const { return samples_; }            ///< N
  std::int64_t features() const { return network_.inputs(); }  ///< d
  bool has_labels() const { return labels_.data() != nullptr; }
  const LabelStatistics& statistics() const { return statistics_; }
  const double* inputs() const { return inputs_.data(); }  ///< (N, d)
  template <class T>
  kernels::SampleTargets<T> targets() const {
    if constexpr (std::is_same_v<T, double>)
      return {labels_.data(), targets_.data()};
    else
      return {labels_.data(), float_targets_.data()};
  }

 private:
  Network network_;
  Loss loss_;
  std::int64_t samples_;
  LabelStatistics statistics_;
  DeviceBuffer<double> inputs_;
  DeviceBuffer<std::int32_t> labels_;
  DeviceBuffer<double> targets_;
  DeviceBuffer<float> float_targets_;
};

}  // namespace lossatlas::cuda
