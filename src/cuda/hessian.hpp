// The exact Hessian, its products with vectors and its spectrum on a CUDA device (theory section 5): over fixed chunks
// of samples, in order, the recursions for S, J and δ by cuBLAS, then each pair of layers as one product on the fp64
// tensor cores.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include <lossatlas/hessian_part.hpp>
#include <lossatlas/progress.hpp>
#include <lossatlas/spectrum_values.hpp>

#include "backend/backend.hpp"
#include "cuda/problem.hpp"
#include "cuda/workspace.hpp"
#include "linalg/hessian_caller.hpp"

namespace lossatlas::cuda {

/// How the curvature of the loss enters.
enum class HessianMethod : std::uint8_t {
  jacobian,  ///< Jᵀ J with one row of J for each output of each sample; the rest is sparse
  blocks,    ///< S_kl of every pair of layers, in one product for each unit
};

/// The cheaper way: by the problem and the part alone.
HessianMethod hessian_method(const Network& network, HessianPart part);

/// Device bytes that assembling `count` Hessians and looking for entries that are not finite take at the peak, besides
/// the matrices. They are free again afterwards.
double assembly_bytes(const Problem& problem, HessianPart part, std::int64_t count = 1);

/// Device memory for `count` Hessians (M, M). Throws OutOfMemory unless they and `rest` further bytes are free, with
/// the sum.
DeviceBuffer<double> hessian_memory(Workspace& workspace, const Problem& problem, double rest, std::int64_t count = 1);

/// matrices (k, M, M, device memory): the Hessians at the points thetas (k, M), symmetric to the bit. Reports progress
/// in samples of one point.
void assemble_hessians(Workspace& workspace, const Problem& problem, std::span<const double> thetas, HessianPart part,
                       const Control& control, double* matrices);

/// Throws NonFiniteHessian for a matrix (n, n) of matrices (count, n, n, device memory) with an entry that is not
/// finite; `caller` is of the first.
void require_finite_matrices(Workspace& workspace, const double* matrices, std::int64_t count, std::int64_t n,
                             HessianCaller caller);

/// hessian (M, M, host memory) at θ (M).
void hessian(Workspace& workspace, const Problem& problem, std::span<const double> theta, HessianPart part,
             const Control& control, std::span<double> hessian);

/// products (k, M) = H V of vectors (k, M), forward over reverse, a batch of vectors at a time. The bits of a product
/// do not depend on the other vectors. Reports progress in vectors.
void hessian_products(Workspace& workspace, const Problem& problem, std::span<const double> theta, HessianPart part,
                      std::span<const double> vectors, const Control& control, std::span<double> products);

/// Eigenvalues, and eigenvectors with their residual if asked for, of the Hessian, which stays on the device. Leaves
/// the inertia to the caller. Throws NonFiniteHessian, and OutOfMemory before any work with hessian_spectrum_bytes().
Spectrum hessian_spectrum(Workspace& workspace, const Problem& problem, std::span<const double> theta, HessianPart part,
                          bool vectors, const Control& control, const HessianCaller& caller = {"hessian_spectrum"});

/// The same at points thetas (k, M), small ones in batches. Reports progress in points.
std::vector<Spectrum> hessian_spectra(Workspace& workspace, const Problem& problem, std::span<const double> thetas,
                                      HessianPart part, bool vectors, const Control& control);

/// All device bytes that hessian_spectrum() takes at the peak, besides the data.
double hessian_spectrum_bytes(Workspace& workspace, const Problem& problem, HessianPart part, bool vectors);

/// Whether H + shift·I has a Cholesky factor; all but its size and the answer stay on the device. Throws OutOfMemory
/// before any work with all the bytes that it takes at the peak.
bool hessian_has_factor(Workspace& workspace, const Problem& problem, std::span<const double> theta, HessianPart part,
                        const ShiftRule& shift, const Control& control);

}  // namespace lossatlas::cuda
