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

  /// Throws Error when the iteration does not converge.
  void solve();

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

}  // namespace lossatlas::cuda
