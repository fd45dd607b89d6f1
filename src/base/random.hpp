// Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011): a counter-based generator, so
// that entry i of stream s is the same on every machine and in any order.
#pragma once

#include <array>
#include <cstdint>

namespace lossatlas {

/// One block of four words from a counter and a key.
std::array<std::uint32_t, 4> philox(std::array<std::uint32_t, 4> counter, std::array<std::uint32_t, 2> key);

/// A sequence of numbers addressed by (seed, stream).
class Random {
 public:
  explicit Random(std::uint64_t seed, std::uint64_t stream = 0);

  std::uint32_t bits();
  double uniform();  ///< [0, 1), 53 bits
  double uniform(double lo, double hi);
  double normal();                         ///< N(0, 1), Box–Muller
  std::int64_t below(std::int64_t bound);  ///< 0..bound−1, bound < 2³²

 private:
  std::array<std::uint32_t, 4> counter_;
  std::array<std::uint32_t, 2> key_;
  std::array<std::uint32_t, 4> block_{};
  int used_ = 4;
  double spare_ = 0;
  bool has_spare_ = false;
};

}  // namespace lossatlas
