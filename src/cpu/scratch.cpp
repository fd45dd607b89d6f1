#include "cpu/scratch.hpp"

#include <algorithm>
#include <cstddef>
#include <mutex>
#include <new>
#include <vector>

namespace lossatlas::cpu {
namespace {

struct FreeBlock {
  std::unique_ptr<double[]> block;
  std::int64_t size;
};

/// The free blocks, ordered from longest to shortest time unused.
class Pool {
 public:
  /// Takes the smallest block with at least `entries` entries; returns one without memory if there is none.
  FreeBlock take(std::int64_t entries) {
    const std::lock_guard lock(mutex_);
    auto best = free_.end();
    for (auto at = free_.begin(); at != free_.end(); ++at) {
      if (at->size >= entries && (best == free_.end() || at->size < best->size)) best = at;
    }
    if (best == free_.end()) return {nullptr, 0};
    FreeBlock taken = std::move(*best);
    free_.erase(best);
    entries_ -= taken.size;
    return taken;
  }

  /// Keeps a block; frees it if the pool has no room, or no memory to record it.
  void give(FreeBlock one) noexcept try {
    constexpr std::int64_t limit = Scratch::kKeptBytes / sizeof(double);
    if (one.size > limit) return;
    const std::lock_guard lock(mutex_);
    free_.reserve(free_.size() + 1);
    while (entries_ + one.size > limit) {
      entries_ -= free_.front().size;
      free_.erase(free_.begin());
    }
    entries_ += one.size;
    free_.push_back(std::move(one));
  } catch (const std::bad_alloc&) {
  }

  std::int64_t bytes() {
    const std::lock_guard lock(mutex_);
    return entries_ * static_cast<std::int64_t>(sizeof(double));
  }

 private:
  std::mutex mutex_;
  std::vector<FreeBlock> free_;
  std::int64_t entries_ = 0;  ///< of all blocks
};

Pool& pool() {
  static Pool one;
  return one;
}

}  // namespace

std::int64_t Scratch::kept_bytes() { return pool().bytes(); }

Scratch::Scratch(std::int64_t entries) {
  FreeBlock old = pool().take(entries);
  block_ = std::move(old.block);
  size_ = old.size;
  if (block_) return;
  block_ = std::make_unique_for_overwrite<double[]>(static_cast<std::size_t>(entries));
  size_ = entries;
}

Scratch::~Scratch() {
  if (block_) pool().give({std::move(block_), size_});
}

}  // namespace lossatlas::cpu
