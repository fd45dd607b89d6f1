// Eigenvalues of symmetric matrices in device memory by cuSOLVER.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "cuda/handles.hpp"
#include "cuda/memory.hpp"
#include "cuda/workspace.hpp"

namespace lossatlas::cuda {

/// What cuSOLVER works in: its workspace on the device and on the host, and a status for each matrix.
struct SolverMemory {
  std::size_t device_bytes = 0, host_bytes = 0;
  std::int64_t members = 1;
  DeviceBuffer<char> device = {};
  std::vector<char> host = {};
  DeviceBuffer<int> info = {};

  std::int64_t bytes() const {
    return std::max<std::int64_t>(1, static_cast<std::int64_t>(device_bytes)) +
           members * static_cast<std::int64_t>(sizeof(int));
  }
  void reserve(Memory& memory) {
    device = DeviceBuffer<char>(memory, static_cast<std::int64_t>(device_bytes));
    host.resize(host_bytes);
    info = DeviceBuffer<int>(memory, members);
  }
};

/// Solves for one symmetric row-major matrix (n, n), of which the upper triangle is read. It is overwritten, with the
/// orthonormal eigenvectors in its rows when they are asked for; values (n) are ascending.
class SymmetricEigensolver {
 public:
  /// Asks how much memory it takes.
  SymmetricEigensolver(Workspace& workspace, std::int64_t n, bool vectors);

  std::int64_t bytes() const { return memory_.bytes(); }  ///< on the device, besides matrix and values
  void reserve() { memory_.reserve(workspace_.memory()); }
  /// After reserve(), so that it cannot run out of memory. What the iteration came to: 0 when it converged.
  int solve(double* matrix, double* values);

 private:
  Workspace& workspace_;
  std::int64_t n_;
  cusolverEigMode_t job_;
  CusolverParams params_;
  SolverMemory memory_;
};

/// The same for `members` matrices (members, n, n) at once; values (members, n). For many small ones.
class BatchedEigensolver {
 public:
  /// Larger matrices fill the device one at a time.
  static constexpr std::int64_t kMostSize = 512;
  /// The most members of one call: by n alone.
  static std::int64_t most_members(std::int64_t n);

  BatchedEigensolver(Workspace& workspace, std::int64_t n, std::int64_t members, bool vectors);

  std::int64_t bytes() const { return memory_.bytes(); }
  void reserve() { memory_.reserve(workspace_.memory()); }
  /// What each member's iteration came to: 0 where it converged.
  std::vector<int> solve(double* matrices, double* values);

 private:
  Workspace& workspace_;
  std::int64_t n_;
  std::int64_t members_;
  cusolverEigMode_t job_;
  CusolverParams params_;
  SolverMemory memory_;
};

}  // namespace lossatlas::cuda
