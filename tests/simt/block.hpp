// One block of threads, run from barrier to barrier.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "random_order.hpp"
#include "slot.hpp"

namespace simt::detail {

enum class State { ready, at_barrier, in_warp, done };

struct Thread : Fiber {
  uint3 index{};
  int linear = 0;
  State state = State::ready;
  Site site;
  Collective collective{};
  int predicate = 0;
  std::vector<CopyAsync> copies;    // vectors, not deques: an empty one allocates nothing, and there are many threads
  std::vector<std::size_t> groups;  // sizes of the committed groups; copies beyond them are uncommitted
  std::size_t committed = 0;
  char sync = 0;
};

class Block {
 public:
  Block(const KernelCall& call, uint3 index, std::size_t first_slot, std::uint64_t seed);
  ~Block() { std::free(shared_); }
  Block(const Block&) = delete;
  Block& operator=(const Block&) = delete;

  /// Runs until every thread is done; throws if one fails.
  void run();

  Thread& self() { return *running_; }
  void* shared() const { return shared_; }
  int threads() const { return static_cast<int>(threads_.size()); }
  int vote_result() const { return vote_result_; }

  void barrier(Site site);
  void warp(const Collective& collective);
  unsigned active_lanes();
  /// The fiber never continues, so nothing on its stack may own memory.
  [[noreturn]] void fail(const char* what, const char* message);

 private:
  static void enter();
  void prepare(Thread& thread, const Slot& slot);
  [[gnu::noinline]] void note_failure(const char* what, const char* message);
  void resume(Fiber& from, Thread& to, bool ends);
  void yield(bool ends = false);
  Thread* pick();
  void wake(Thread& thread);
  void release_barrier();
  bool gather(const Collective& collective, int first, const void** in, void** out);
  std::string waiters();
  std::span<Thread> all() { return threads_; }

  const KernelCall& call_;
  uint3 index_;
  std::size_t first_slot_;
  std::uint64_t random_;
  std::vector<Thread> threads_;
  std::vector<Thread*> ready_;
  Thread* running_ = nullptr;
  Fiber scheduler_;
  void* shared_ = nullptr;
  int live_, waiting_ = 0, exited_ = 0, trues_ = 0, vote_result_ = 0;
  char barrier_sync_ = 0, start_sync_ = 0, end_sync_ = 0;
  std::optional<std::string> failure_;
};

}  // namespace simt::detail
