// Never compiled with -fsanitize=thread: what the scheduler touches is not the kernel's doing.
#include "block.hpp"

#include <algorithm>
#include <bit>
#include <cstdio>
#include <cstring>
#include <map>
#include <sstream>

#include "simt/cuda.hpp"

constinit SIMT_BLOCK_LOCAL uint3 threadIdx{};
constinit SIMT_BLOCK_LOCAL uint3 blockIdx{};
constinit SIMT_BLOCK_LOCAL dim3 blockDim{};
constinit SIMT_BLOCK_LOCAL dim3 gridDim{};

namespace simt::detail {
namespace {

SIMT_BLOCK_LOCAL Block* current_block = nullptr;

// Tell ThreadSanitizer: what `fibers` did before release() happens before what others do after acquire().
template <class F>
void as_each([[maybe_unused]] std::span<F> fibers, [[maybe_unused]] unsigned mask, [[maybe_unused]] void (*f)(void*),
             [[maybe_unused]] void* sync) {
#ifdef SIMT_TSAN
  void* const self = __tsan_get_current_fiber();
  for (std::size_t i = 0; i < fibers.size(); ++i) {
    if (!(mask >> i % kWarpSize & 1)) continue;
    __tsan_switch_to_fiber(fibers[i].tsan, __tsan_switch_to_fiber_no_sync);
    f(sync);
  }
  __tsan_switch_to_fiber(self, __tsan_switch_to_fiber_no_sync);
#endif
}
template <class F>
void release(std::span<F> fibers, void* sync, unsigned mask = ~0u) {
  as_each(fibers, mask, __tsan_release, sync);
}
template <class F>
void acquire(std::span<F> fibers, void* sync, unsigned mask = ~0u) {
  as_each(fibers, mask, __tsan_acquire, sync);
}

bool same_place(const Site& a, const Site& b) { return a.line() == b.line() && a.column() == b.column(); }

std::string text(uint3 index) {
  return "(" + std::to_string(index.x) + "," + std::to_string(index.y) + "," + std::to_string(index.z) + ")";
}

}  // namespace

Block::Block(const KernelCall& call, uint3 index, std::size_t first_slot, std::uint64_t seed)
    : call_(call),
      index_(index),
      first_slot_(first_slot),
      random_(random_state(seed)),
      threads_(call.threads()),
      live_(threads()) {
  blockIdx = index;
  gridDim = call.grid;
  blockDim = call.block;
  // Exactly the bytes asked for, so that AddressSanitizer sees the end; the contents are NaN in every format.
  if (const std::size_t bytes = call.shared_bytes; bytes > 0) {
    if (posix_memalign(&shared_, 128, bytes) != 0) throw std::bad_alloc();
    std::memset(shared_, 0xff, bytes);
  }
#ifdef SIMT_TSAN
  scheduler_.tsan = __tsan_get_current_fiber();
#endif
  for (std::size_t i = 0; i < threads_.size(); ++i) {
    threads_[i].linear = static_cast<int>(i);
    prepare(threads_[i], slots(0)[first_slot + i]);
  }
  if (options().order == Order::forward) std::reverse(ready_.begin(), ready_.end());
}

void Block::prepare(Thread& thread, const Slot& slot) {
  const dim3 block = call_.block;
  const auto linear = static_cast<unsigned>(thread.linear);
  thread.index = {linear % block.x, linear / block.x % block.y, linear / block.x / block.y};
  thread.low = slot.low();
  thread.bytes = slot.bytes();
  thread.tsan = slot.tsan();
#ifdef SIMT_TSAN
  __tsan_set_fiber_name(thread.tsan, ("block " + text(index_) + " thread " + text(thread.index)).c_str());
#endif
  prepare_stack(thread.stack, slot.low(), slot.bytes(), &Block::enter);
  ready_.push_back(&thread);
}

void Block::run() {
  current_block = this;
  release(std::span<Fiber>(&scheduler_, 1), &start_sync_);
  acquire(all(), &start_sync_);
  while (!failure_ && live_ > 0) {
    if (Thread* next = pick()) {
      resume(scheduler_, *next, false);
    } else {
      failure_ = "deadlock" + waiters();
    }
  }
  current_block = nullptr;
  release(all(), &end_sync_);
  acquire(std::span<Fiber>(&scheduler_, 1), &end_sync_);
  if (failure_) {
    for (std::size_t i = 0; i < threads_.size(); ++i) slots(0)[first_slot_ + i].forget();
    throw Error(*failure_);
  }
}

void Block::barrier(Site site) {
  Thread& thread = self();
  thread.state = State::at_barrier;
  thread.site = site;
  ++waiting_;
  trues_ += thread.predicate != 0;
  if (waiting_ == live_) release_barrier();
  yield();
}

void Block::release_barrier() {
  const Thread* first = nullptr;
  for (const Thread& thread : threads_) {
    if (thread.state != State::at_barrier) continue;
    if (!first) first = &thread;
    if (!same_place(thread.site, first->site)) {
      failure_ = "divergent __syncthreads" + waiters();
      return;
    }
  }
  if (exited_ > 0) {
    failure_ = std::to_string(exited_) + " threads have exited before a __syncthreads" + waiters();
    return;
  }
  waiting_ = 0;
  vote_result_ = trues_;
  trues_ = 0;
  release(all(), &barrier_sync_);
  acquire(all(), &barrier_sync_);
  if (options().order == Order::forward) {
    for (auto thread = threads_.rbegin(); thread != threads_.rend(); ++thread) wake(*thread);
  } else {
    for (Thread& thread : threads_) wake(thread);
  }
}

/// The operands of all lanes in the mask; false while one has not come to the same place yet.
bool Block::gather(const Collective& c, int first, const void** in, void** out) {
  for (unsigned rest = c.mask; rest; rest &= rest - 1) {
    const int lane = std::countr_zero(rest);
    const Thread& other = threads_[static_cast<std::size_t>(first + lane)];
    if (other.state != State::in_warp || other.collective.mask != c.mask || other.collective.name != c.name ||
        !same_place(other.collective.site, c.site)) {
      return false;
    }
    in[lane] = other.collective.in;
    out[lane] = other.collective.out;
  }
  return true;
}

void Block::warp(const Collective& c) {
  Thread& thread = self();
  const int lane = thread.linear % kWarpSize, first = thread.linear - lane;
  thread.collective = c;
  thread.state = State::in_warp;
  if (!(c.mask >> lane & 1)) fail(c.name, "the caller's lane is not in the mask");
  if (first + kWarpSize - std::countl_zero(c.mask) > threads()) fail(c.name, "the mask names lanes beyond the block");
  const void* in[kWarpSize] = {};
  void* out[kWarpSize] = {};
  if (!gather(c, first, in, out)) {
    yield();  // the last lane to come does the work
    return;
  }
  if (c.orders_memory) {
    const auto begin = static_cast<std::size_t>(first);
    const auto lanes = all().subspan(begin, std::min<std::size_t>(kWarpSize, threads_.size() - begin));
    char* const sync = &lanes[static_cast<std::size_t>(std::countr_zero(c.mask))].sync;
    release(lanes, sync, c.mask);
    acquire(lanes, sync, c.mask);
  }
  c.run(c.mask, in, out);
  for (int i = 0; i < kWarpSize; ++i) {
    const int l = options().order == Order::forward ? kWarpSize - 1 - i : i;
    if (c.mask >> l & 1) wake(threads_[static_cast<std::size_t>(first + l)]);
  }
  yield();
}

unsigned Block::active_lanes() {
  const int first = self().linear / kWarpSize * kWarpSize;
  unsigned mask = 0;
  for (int l = 0; l < kWarpSize && first + l < threads(); ++l) {
    if (threads_[static_cast<std::size_t>(first + l)].state != State::done) mask |= 1u << l;
  }
  return mask;
}

void Block::fail(const char* what, const char* message) {
  note_failure(what, message);
  switch_fiber(self(), scheduler_, true);
  __builtin_unreachable();
}

void Block::note_failure(const char* what, const char* message) {
  const Thread& thread = self();
  std::ostringstream out;
  out << what << ": " << message << "; thread " << text(thread.index) << " of block " << text(index_);
  if (const Site& site = thread.collective.site; thread.state == State::in_warp) {
    out << " at " << site.file_name() << ':' << site.line() << ':' << site.column();
  }
  failure_ = out.str();
}

void Block::enter() {
  Block& block = *current_block;
#ifdef SIMT_ASAN
  const void* low;
  std::size_t bytes;
  __sanitizer_finish_switch_fiber(nullptr, &low, &bytes);
  if (!block.scheduler_.low) block.scheduler_.low = low, block.scheduler_.bytes = bytes;
#endif
  block.call_.body();
  Thread& thread = block.self();
  if (!thread.copies.empty()) block.fail("cp.async", "the kernel ends before a copy is waited for");
  thread.state = State::done;
  --block.live_;
  ++block.exited_;
  if (block.waiting_ > 0 && block.waiting_ == block.live_) block.release_barrier();
  block.yield(true);
  __builtin_unreachable();
}

void Block::resume(Fiber& from, Thread& to, bool ends) {
  running_ = &to;
  threadIdx = to.index;
  switch_fiber(from, to, ends);
}

void Block::yield(bool ends) {
  Thread& from = self();
  Thread* to = failure_ ? nullptr : pick();
  if (to == &from) return;
  if (to) {
    resume(from, *to, ends);
  } else {
    switch_fiber(from, scheduler_, ends);
  }
}

Thread* Block::pick() {
  if (ready_.empty()) return nullptr;
  if (options().order == Order::random) std::swap(ready_[random_index(random_, ready_.size())], ready_.back());
  Thread* const thread = ready_.back();
  ready_.pop_back();
  return thread;
}

void Block::wake(Thread& thread) {
  if (thread.state == State::done) return;
  thread.state = State::ready;
  ready_.push_back(&thread);
}

std::string Block::waiters() {
  std::map<std::string, int> groups;
  for (const Thread& thread : threads_) {
    std::ostringstream what;
    const auto at = [&what](const Site& site) {
      what << " at " << site.file_name() << ':' << site.line() << ':' << site.column();
    };
    switch (thread.state) {
      case State::ready:
        what << "run";
        break;
      case State::done:
        what << "have exited";
        break;
      case State::at_barrier:
        what << "wait in __syncthreads", at(thread.site);
        break;
      case State::in_warp:
        what << "wait in " << thread.collective.name << " (mask " << std::hex << thread.collective.mask << std::dec
             << ", warp " << thread.linear / kWarpSize << ')';
        at(thread.collective.site);
        break;
    }
    ++groups[what.str()];
  }
  std::ostringstream out;
  out << " in block " << text(index_) << ':';
  for (const auto& [what, count] : groups) out << "\n  " << count << " threads " << what;
  return out.str();
}

// What kernels call.

void block_barrier(Site site) {
  current_block->self().predicate = 0;
  current_block->barrier(site);
}
int block_vote(int predicate, int (*combine)(int, int), Site site) {
  current_block->self().predicate = predicate;
  current_block->barrier(site);
  return combine(current_block->vote_result(), current_block->threads());
}
void warp_collective(const Collective& collective) { current_block->warp(collective); }
unsigned active_lanes() { return current_block->active_lanes(); }
void fence() {
  [[maybe_unused]] static char sync;
  __tsan_release(&sync);
  __tsan_acquire(&sync);
}
void* dynamic_shared() { return current_block->shared(); }
int linear_thread() { return current_block->self().linear; }
void fail(const char* what, const char* message) { current_block->fail(what, message); }

void copy_async_add(const CopyAsync& copy) { current_block->self().copies.push_back(copy); }
void copy_async_commit() {
  Thread& thread = current_block->self();
  thread.groups.push_back(thread.copies.size() - thread.committed);
  thread.committed = thread.copies.size();
}
bool copy_async_take(int pending, CopyAsync& copy) {
  Thread& thread = current_block->self();
  const auto too_many = [&] { return static_cast<int>(thread.groups.size()) > pending; };
  while (too_many() && thread.groups.front() == 0) thread.groups.erase(thread.groups.begin());
  if (!too_many()) return false;
  copy = thread.copies.front();
  thread.copies.erase(thread.copies.begin());
  --thread.groups.front();
  --thread.committed;
  return true;
}

}  // namespace simt::detail
