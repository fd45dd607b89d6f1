// What a CPU works on.
#pragma once

#include <lossatlas/dataset.hpp>
#include <lossatlas/loss.hpp>
#include <lossatlas/network.hpp>

namespace lossatlas::cpu {

struct Problem {
  const Network& network;
  const Dataset& data;
  Loss loss;
  int threads;
};

}  // namespace lossatlas::cpu
