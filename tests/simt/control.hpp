// How tests steer the emulated device. A test that opened the emulated module finds it by dlsym("simt_control").
#pragma once

#include <cstddef>
#include <cstdint>

namespace simt {

/// What lives now, and how many calls there have been since the last reset.
struct Counts {
  std::int64_t device_allocations, device_bytes;
  std::int64_t host_allocations;
  std::int64_t streams, events, handles;
  std::int64_t allocation_calls;  ///< of memory, streams, events and handles
  std::int64_t launches;          ///< of kernels, library routines and algorithms
  std::int64_t live() const { return device_allocations + host_allocations + streams + events + handles; }
};

struct Control {
  /// Drops queued work and the fault, ends planted failures, restores the memory limits, zeroes the call counts, draws
  /// random numbers from SIMT_SEED anew. What is allocated stays.
  void (*reset)();
  void (*set_seed)(std::uint64_t seed);
  void (*set_memory_limit)(std::size_t bytes);  ///< per device
  void (*set_shared_limit)(std::size_t bytes);  ///< dynamic shared memory that the device says a block may have
  void (*set_multiprocessors)(int count);       ///< that the device says it has
  /// The k-th allocation from now (1: the next) fails with cudaErrorMemoryAllocation or its like; 0: none.
  void (*fail_allocation)(std::int64_t k);
  /// The k-th launch from now is refused (cudaErrorLaunchOutOfResources or its like); 0: none.
  void (*fail_launch)(std::int64_t k);
  /// The k-th launch from now faults when it runs: the sticky cudaErrorLaunchFailure; 0: none.
  void (*fault_launch)(std::int64_t k);
  /// The k-th matrix from now whose eigenvalues cuSOLVER computes gets the status of an iteration that did not
  /// converge; 0: none.
  void (*fail_eigensolve)(std::int64_t k);
  Counts (*counts)();
  const char* (*fault)();  ///< what the first fault was, or ""
  /// What a caller of the library does with the runtime itself.
  void* (*create_stream)();  ///< on the current device
  void (*destroy_stream)(void* stream);
  void (*set_device)(int index);
  int (*device)();
  int (*last_error)();  ///< cudaGetLastError() of this thread
};

}  // namespace simt

extern "C" [[gnu::visibility("default")]] const simt::Control* simt_control();
