#include "cuda/problem.hpp"

#include <utility>
#include <vector>

namespace lossatlas::cuda {

Problem::Problem(Network network, const Dataset& data, Loss loss, Memory& memory)
    : network_(std::move(network)),
      loss_(loss),
      samples_(data.size()),
      statistics_(label_statistics(data)),
      inputs_(uploaded(memory, data.inputs())) {
  if (data.has_labels()) {
    labels_ = uploaded(memory, data.labels());
    return;
  }
  targets_ = uploaded(memory, data.targets());
  const std::vector<float> rounded(data.targets().begin(), data.targets().end());
  float_targets_ = uploaded(memory, std::span(rounded));
}

}  // namespace lossatlas::cuda
