// Eigenvalues of symmetric matrices in device memory by cuSOLVER.
#pragma once

#include <cstdint>
#include <vector>

#include "cuda/handles.hpp"
#include "cuda/memory.hpp"
#include "cuda/workspace.hpp"

namespace lossatlas::cuda {

/// Solves for one symmetric row-major matrix (n, n), of which the upper triangle is read. It is overwritten, with the
/// orthonormal eigenvectors in its rows when they are asked for; values (n) are ascending.
class SymmetricEigensolver {
 public:
  /// Asks for the memory and takes it, so that solve() cannot run out of it.
  SymmetricEigensolver(Workspace& workspace, std::int64_t n, bool vectors, double* matrix, double* values);

  /// What the iteration came to: 0 when it converged.
  int solve();

 private:
  Workspace& workspace_;
  std::int64_t n_;
  cusolverEigMode_t job_;
  double* matrix_;
  double* values_;
  CusolverParams params_;
  DeviceBuffer<char> device_;
  std::vector<char> host_;
  DeviceBuffer<int> info_;
};

/// The same for `members` matrices (members, n, n) at once; values (members, n). For many small ones.
class BatchedEigensolver {
 public:
  /// Larger matrices fill the device one at a time.
  static constexpr std::int64_t kMostSize = 512;
  /// The most members of one call: by n alone.
  static std::int64_t most_members(std::int64_t n);

  BatchedEigensolver(Workspace& workspace, std::int64_t n, std::int64_t members, bool vectors, double* matrices,
                     double* values);

  /// What each member's iteration came to: 0 where it converged.
  std::vector<int> solve();

 private:
  Workspace& workspace_;
  std::int64_t n_;
  std::int64_t members_;
  cusolverEigMode_t job_;
  double* matrices_;
  double* values_;
  CusolverParams params_;
  DeviceBuffer<char> device_;
  std::vector<char> host_;
  DeviceBuffer<int> info_;
};

}  // namespace lossatlas::cuda
