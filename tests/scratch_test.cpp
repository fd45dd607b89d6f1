// Scratch memory: reuse, the limit of what is kept, and many threads.
#include "cpu/scratch.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <new>
#include <thread>
#include <vector>

namespace {
bool no_memory = false;
}
// Not inlined, or the compiler takes free() for a mismatch.
[[gnu::noinline]] void* operator new(std::size_t size) {
  if (void* memory = no_memory ? nullptr : std::malloc(size)) return memory;
  throw std::bad_alloc();
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

namespace lossatlas::cpu {
namespace {

TEST(Scratch, ABlockComesBackToTheNextCall) {
  const double* first = nullptr;
  {
    const Scratch block(12'345);
    EXPECT_GE(block.size(), 12'345);
    first = block.data();
  }
  const std::int64_t kept = Scratch::kept_bytes();
  EXPECT_GE(kept, 8 * 12'345);
  const Scratch again(12'345);
  EXPECT_EQ(again.data(), first);
  EXPECT_EQ(Scratch::kept_bytes(), kept - 8 * again.size()) << "taken from the pool";
}

TEST(Scratch, ABlockIsDroppedWhereThereIsNoMemoryToNoteItDown) {
  std::vector<Scratch> blocks;
  for (std::int64_t i = 0; i < 1000; ++i) blocks.emplace_back(100 + i);
  no_memory = true;
  blocks.clear();
  no_memory = false;
  EXPECT_LE(Scratch::kept_bytes(), Scratch::kKeptBytes);
  const Scratch after(100);
  EXPECT_GE(after.size(), 100);
}

TEST(Scratch, NoTwoLivingBlocksShareMemory) {
  std::atomic<int> overwritten{0};
  {
    std::vector<std::jthread> team;
    for (int t = 0; t < 4; ++t) {
      team.emplace_back([&overwritten, t] {
        for (int round = 0; round < 200; ++round) {
          const Scratch block(500 + 100 * (round % 5));
          std::fill_n(block.data(), block.size(), t);
          std::this_thread::yield();
          overwritten += !std::all_of(block.data(), block.data() + block.size(), [&](double x) { return x == t; });
        }
      });
    }
  }
  EXPECT_EQ(overwritten, 0);
}

TEST(Scratch, KeepsNoMoreThanItsLimit) {
  constexpr std::int64_t half = Scratch::kKeptBytes / sizeof(double) / 2;
  { const Scratch one(half), two(half), three(half); }
  EXPECT_LE(Scratch::kept_bytes(), Scratch::kKeptBytes);
  EXPECT_GE(Scratch::kept_bytes(), Scratch::kKeptBytes / 2);
  const std::int64_t before = Scratch::kept_bytes();
  { const Scratch large(3 * half); }
  EXPECT_EQ(Scratch::kept_bytes(), before);
}

TEST(Scratch, MovesItsMemory) {
  Scratch one(100);
  double* data = one.data();
  Scratch two(std::move(one));
  EXPECT_EQ(two.data(), data);
  Scratch three;
  EXPECT_EQ(three.size(), 0);
  three = std::move(two);
  EXPECT_EQ(three.data(), data);
}

}  // namespace
}  // namespace lossatlas::cpu
