// Evaluates runs of points from a tile source in pieces that fit in memory.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "section_file/tiles.hpp"

namespace lossatlas {

/// Halves its pieces when device or host memory runs out; the bits of the losses do not depend on the pieces.
class PieceEvaluator {
 public:
  explicit PieceEvaluator(const TileSource& source);

  /// Calls the source's own prepare().
  void prepare(const Control& control);
  /// Calls use(losses) for pieces of points first..first+count−1, in order; throws OutOfMemory if one is too much.
  void run(std::int64_t first, std::int64_t count, const Control& control,
           const std::function<void(std::span<const double> losses)>& use);
  /// Chooses a good size for tiles of points first..first+count−1, at most `most` tiles, by evaluating the first few
  /// points, which run() does not evaluate again.
  std::int64_t choose_tile(std::int64_t first, std::int64_t count, std::int64_t most, const Control& control);

 private:
  /// Evaluates up to `count` points from `first` into buffer_, fewer if memory runs out; returns how many.
  std::int64_t evaluate(std::int64_t first, std::int64_t count, const Control& control);
  /// Copies the losses from `first` that choose_tile() has already computed into buffer_; returns how many points.
  std::int64_t recall(std::int64_t first, std::int64_t count);

  const TileSource& source_;
  std::int64_t piece_;
  std::vector<double> buffer_;
  std::int64_t known_first_ = 0;
  std::vector<double> known_;  ///< losses from known_first_ on
};

}  // namespace lossatlas
