// The random numbers that decide what runs next.
#pragma once

#include <cstddef>
#include <cstdint>

namespace simt::detail {

/// A step of Marsaglia's xorshift; never 0.
inline std::uint64_t next_random(std::uint64_t& state) {
  state ^= state << 13, state ^= state >> 7, state ^= state << 17;
  return state;
}
inline std::uint64_t random_state(std::uint64_t seed) { return (seed * 0x9e3779b97f4a7c15u) | 1; }
/// A number below `count`.
inline std::size_t random_index(std::uint64_t& state, std::size_t count) {
  return static_cast<std::size_t>((next_random(state) >> 32) * count >> 32);
}

}  // namespace simt::detail
