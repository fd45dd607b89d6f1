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

/// The memory that cuSOLVER works in: its workspace on the device and on the host, and a status per matrix.
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

/// Solves one symmetric row-major matrix (n, n), of which it reads the upper triangle. The matrix is overwritten, by
/// the orthonormal eigenvectors in its rows if they are asked for; values (n) are ascending.
class SymmetricEigensolver {
 public:
  /// Asks cuSOLVER how much memory the solve takes.
  SymmetricEigensolver(Workspace& workspace, std::int64_t n, bool vectors);

  std::int64_t bytes() const { return memory_.bytes(); }  ///< on the device, without matrix and values
  void reserve() { memory_.reserve(workspace_.memory()); }
  /// Call after reserve(), so that it cannot run out of memory. Returns cuSOLVER's status: 0 if the iteration
  /// converged.
  int solve(double* matrix, double* values);

 private:
  Workspace& workspace_;
  std::int64_t n_;
  cusolverEigMode_t job_;
  CusolverParams params_;
  SolverMemory memory_;
};

/// The same for `members` small matrices (members, n, n) at once; values (members, n).
class BatchedEigensolver {
 public:
  /// A larger matrix fills the device by itself.
  static constexpr std::int64_t kMostSize = 512;
  /// The most members of one call; depends on n only.
  static std::int64_t most_members(std::int64_t n);

  BatchedEigensolver(Workspace& workspace, std::int64_t n, std::int64_t members, bool vectors);

  std::int64_t bytes() const { return memory_.bytes(); }
  void reserve() { memory_.reserve(workspace_.memory()); }
  /// cuSOLVER's status for each member: 0 if its iteration converged.
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
