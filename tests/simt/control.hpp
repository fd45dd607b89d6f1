// How tests steer the emulated device. A test that opened the emulated module finds it by dlsym("simt_control").
#pragma once

#include <cstddef>
#include <cstdint>

namespace simt {

/// What exists now, and the number of calls since the last reset.
struct Counts {
  std::int64_t device_allocations, device_bytes;
  std::int64_t host_allocations;
  std::int64_t streams, events, handles;
  std::int64_t allocation_calls;  ///< of memory, streams, events and handles
  std::int64_t launches;          ///< of kernels, library routines and algorithms
  std::int64_t uploaded_bytes;    ///< copied from the host to a device
  std::int64_t live() const { return device_allocations + host_allocations + streams + events + handles; }
};

struct Control {
  /// Drops queued work and the fault, cancels planted failures, restores the memory limits, zeroes the call counts and
  /// draws random numbers from SIMT_SEED anew. Keeps all allocations.
  void (*reset)();
  void (*set_seed)(std::uint64_t seed);
  void (*set_memory_limit)(std::size_t bytes);  ///< per device
  void (*set_shared_limit)(std::size_t bytes);  ///< dynamic shared memory per block that the device reports
  void (*set_multiprocessors)(int count);       ///< that the device reports
  /// The k-th allocation from now (1: the next) fails with cudaErrorMemoryAllocation or its like; 0: none.
  void (*fail_allocation)(std::int64_t k);
  /// The k-th launch from now is refused (cudaErrorLaunchOutOfResources or its like); 0: none.
  void (*fail_launch)(std::int64_t k);
  /// The k-th launch from now faults when it runs: the sticky cudaErrorLaunchFailure; 0: none.
  void (*fault_launch)(std::int64_t k);
  /// cuSOLVER reports no convergence for the k-th matrix from now whose eigenvalues it computes; 0: none.
  void (*fail_eigensolve)(std::int64_t k);
  Counts (*counts)();
  const char* (*fault)();  ///< what the first fault was, or ""
  /// Calls that a user of the library makes to the runtime itself.
  void* (*create_stream)();  ///< on the current device
  void (*destroy_stream)(void* stream);
  void (*set_device)(int index);
  int (*device)();
  int (*last_error)();  ///< cudaGetLastError() of this thread
};

}  // namespace simt

extern "C" [[gnu::visibility("default")]] const simt::Control* simt_control();
