// Scratch memory that is reused. In a small problem, the pages of a fresh block cost more than the arithmetic, so
// blocks return to a pool for the next call, up to a limit.
#pragma once

#include <cstdint>
#include <memory>
#include <utility>

namespace lossatlas::cpu {

/// A block of doubles that holds whatever was written there last. May be made and destroyed on any thread.
class Scratch {
 public:
  /// Most bytes that the pool keeps while nobody uses them.
  static constexpr std::int64_t kKeptBytes = std::int64_t{1} << 26;
  /// Bytes in the pool now.
  static std::int64_t kept_bytes();

  Scratch() = default;
  /// Throws std::bad_alloc.
  explicit Scratch(std::int64_t entries);
  ~Scratch();
  Scratch(Scratch&& other) noexcept : block_(std::move(other.block_)), size_(std::exchange(other.size_, 0)) {}
  Scratch& operator=(Scratch&& other) noexcept {
    std::swap(block_, other.block_);
    std::swap(size_, other.size_);
    return *this;
  }

  double* data() const { return block_.get(); }
  std::int64_t size() const { return size_; }

 private:
  std::unique_ptr<double[]> block_;
  std::int64_t size_ = 0;
};

}  // namespace lossatlas::cpu
