// The emulated machine: memory, streams, events and the error state. One lock guards all of it; work queued on streams
// runs on the host thread that waits for it.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "control.hpp"
#include "simt/runtime.hpp"

namespace simt {

inline constexpr int kDevices = 2;
inline constexpr std::size_t kDefaultMemory = std::size_t{1} << 30;
inline constexpr std::size_t kSharedByDefault = 48 * 1024;
inline constexpr std::size_t kSharedOptIn = 227 * 1024;
inline constexpr int kMultiprocessors = 132;

enum class MemoryKind { device, host };

struct Allocation {
  std::uintptr_t base;
  std::size_t bytes;
  std::uint64_t id;  // distinguishes it from a later one at the same address
  int device;
  MemoryKind kind;
  void* block;  // from the heap: with guards around the memory if no sanitizer has its own
};

/// Memory that queued work will touch, noted when it was queued.
struct Use {
  const void* pointer = nullptr;
  std::size_t bytes = 0;
  std::uint64_t allocation = 0;  // 0: in none
};

/// A fault of the device, with the status it becomes.
struct Fault : Error {
  Fault(cudaError_t code, const std::string& what) : Error(what), status(code) {}
  cudaError_t status;
};

/// A point in a stream that an event marks.
struct Mark {
  bool reached = false;
  std::chrono::steady_clock::time_point time;
};

struct Task {
  std::uint64_t sequence = 0;
  std::shared_ptr<const Mark> waits_for;  // must not run before it
  std::function<void()> run;
};

class Machine;
Machine& machine();

}  // namespace simt

// The runtime's opaque types.
struct CUstream_st {
  int device = 0;
  bool legacy = false;
  bool blocking = true;  // ordered with the legacy stream
  bool alive = true;
  std::deque<simt::Task> queue;
};

struct CUevent_st {
  int device = 0;
  bool timed = true;
  bool alive = true;
  std::shared_ptr<simt::Mark> mark;  // of the latest record
};

namespace simt {

class Machine {
 public:
  std::recursive_mutex mutex;

  // Memory
  /// nullptr if none is left or a failure was planted.
  void* allocate(std::size_t bytes, MemoryKind kind, int device);
  /// With a sanitizer, device memory is accessible to work on streams and not to the host.
  void open_device_memory(bool open) const;
  /// False if `pointer` is no allocation of this kind.
  bool release(const void* pointer, MemoryKind kind);
  const Allocation* find(const void* pointer) const;
  Use use(const void* pointer, std::size_t bytes) const;
  /// Throws Fault unless the memory is still the allocation that it was.
  void verify(const Use& use, const char* what, const Site& site) const;
  void check_guards(const Site& site) const;
  std::size_t free_memory(int device) const;
  std::size_t memory_limit() const { return memory_limit_; }
  std::size_t shared_limit() const { return shared_limit_; }
  int multiprocessors() const { return multiprocessors_; }
  /// Counts an object other than memory that is about to be made; returns false if it is to fail.
  bool may_allocate();

  // Streams and events
  CUstream_st* resolve(cudaStream_t stream, int device);  // nullptr: no such stream
  cudaStream_t create_stream(int device, bool blocking);
  cudaEvent_t create_event(int device, bool timed);
  bool owns(cudaEvent_t event) const;
  void destroy(CUstream_st* stream);
  void destroy(CUevent_st* event);
  void push(CUstream_st& stream, std::function<void()> run, std::shared_ptr<const Mark> waits_for = nullptr);
  /// Runs queued work in a random valid order until `done`; returns a fault that occurs before.
  cudaError_t advance(const std::function<bool()>& done);
  cudaError_t drain(CUstream_st& stream) {
    return advance([&stream] { return stream.queue.empty(); });
  }
  cudaError_t drain_all();
  /// Whether work of a stream is running: its host functions must make no runtime calls.
  bool executing() const { return executing_; }

  // Errors
  cudaError_t sticky() const { return sticky_; }
  const std::string& fault_text() const { return fault_text_; }
  void fault(cudaError_t status, const std::string& text);

  // Launches
  enum class LaunchFate { runs, refused, faults };
  LaunchFate next_launch();
  /// The most dynamic shared memory that a kernel may ask for.
  std::map<std::pair<int, const void*>, std::size_t> shared_opt_in;

  // Control
  void reset();
  void set_seed(std::uint64_t seed);
  void set_memory_limit(std::size_t bytes) { memory_limit_ = bytes; }
  void set_shared_limit(std::size_t bytes) { shared_limit_ = bytes; }
  void set_multiprocessors(int count) { multiprocessors_ = count; }
  void fail_allocation(std::int64_t k) { allocation_countdown_ = k; }
  void fail_launch(std::int64_t k) { launch_countdown_ = k; }
  void fault_launch(std::int64_t k) { fault_countdown_ = k; }
  void fail_eigensolve(std::int64_t k) { eigensolve_countdown_ = k; }
  bool next_eigensolve_fails() { return eigensolve_countdown_ > 0 && --eigensolve_countdown_ == 0; }
  Counts counts() const;
  std::int64_t handles = 0;
  std::int64_t uploaded_bytes = 0;

  Machine();

 private:
  bool runnable(const CUstream_st& stream) const;
  CUstream_st* pick();
  void execute(CUstream_st& stream);
  void forget_work();

  std::map<std::uintptr_t, Allocation> allocations_;
  std::size_t used_[kDevices] = {};
  std::size_t memory_limit_ = kDefaultMemory;
  std::size_t shared_limit_ = kSharedOptIn;
  int multiprocessors_ = kMultiprocessors;
  std::uint64_t next_allocation_ = 0;

  std::deque<CUstream_st> streams_;  // the first kDevices are the legacy ones; destroyed ones keep their address
  std::deque<CUevent_st> events_;
  std::uint64_t next_sequence_ = 0;
  std::uint64_t random_;
  bool executing_ = false;

  cudaError_t sticky_ = cudaSuccess;
  std::string fault_text_;
  std::int64_t allocation_countdown_ = 0, launch_countdown_ = 0, fault_countdown_ = 0, eigensolve_countdown_ = 0;
  std::int64_t allocation_calls_ = 0, launches_ = 0;
};

/// For launched work: throws the fault that a test planted in it.
inline void throw_if_planted(Machine::LaunchFate fate) {
  if (fate == Machine::LaunchFate::faults) throw Fault(cudaErrorLaunchFailure, "a fault that a test planted");
}

/// The device that the calling thread has made current.
int& current_device();

/// Remembers a status for cudaGetLastError.
cudaError_t remember(cudaError_t status);

/// Makes a runtime call: locked, refused after a fault, its status remembered. A call that only queues work never
/// reports that work's own fault.
template <class F>
cudaError_t call(F f) {
  const std::lock_guard lock(machine().mutex);
  if (machine().sticky() != cudaSuccess) return remember(machine().sticky());
  if (machine().executing()) return remember(cudaErrorNotPermitted);
  return remember(f(machine()));
}

}  // namespace simt
