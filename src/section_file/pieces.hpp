// Runs of points from a tile source in pieces that fit the memory.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "section_file/tiles.hpp"

namespace lossatlas {

/// Halves its pieces when device or host memory runs out; bits do not depend on them.
class PieceEvaluator {
 public:
  explicit PieceEvaluator(const TileSource& source);

  /// The source's own prepare().
  void prepare(const Control& control);
  /// use(losses) for consecutive pieces of points first..first+count−1. Throws OutOfMemory when one point is too much.
  void run(std::int64_t first, std::int64_t count, const Control& control,
           const std::function<void(std::span<const double> losses)>& use);
  /// A good size for tiles of points first..first+count−1, by evaluating the first few; run() does not evaluate those
  /// again. `most` tiles at most.
  std::int64_t choose_tile(std::int64_t first, std::int64_t count, std::int64_t most, const Control& control);

 private:
  /// losses of so many points from `first` into buffer_, fewer when memory runs out; returns how many.
  std::int64_t evaluate(std::int64_t first, std::int64_t count, const Control& control);
  /// How many of the points from `first` are known from choose_tile(), now in buffer_.
  std::int64_t recall(std::int64_t first, std::int64_t count);

  const TileSource& source_;
  std::int64_t piece_;
  std::vector<double> buffer_;
  std::int64_t known_first_ = 0;
  std::vector<double> known_;  ///< losses from known_first_ on
};

}  // namespace lossatlas
