// The exact Hessian, its products with vectors and its spectrum on a CUDA device (docs/theory.md, section 5). Over
// fixed chunks of samples, in order, cuBLAS runs the recursions for S, J and δ; then each pair of layers is one product
// on the fp64 tensor cores.
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

/// How the curvature of the loss enters the Hessian.
enum class HessianMethod : std::uint8_t {
  jacobian,  ///< Jᵀ J with one row of J per output and sample; the rest is sparse
  blocks,    ///< S_kl of every pair of layers, in one product per unit
};

/// The cheaper method; depends only on the problem and the part.
HessianMethod hessian_method(const Network& network, HessianPart part);

/// Peak device bytes, without the matrices, for assembling `count` Hessians and looking for non-finite entries. They
/// are free again afterwards.
double assembly_bytes(const Problem& problem, HessianPart part, std::int64_t count = 1);

/// Device memory for `count` Hessians (M, M). Throws OutOfMemory, with the sum, unless both they and `rest` further
/// bytes are free.
DeviceBuffer<double> hessian_memory(Workspace& workspace, const Problem& problem, double rest, std::int64_t count = 1);

/// Assembles the Hessians at the points thetas (k, M) into matrices (k, M, M, device memory), symmetric to the bit.
/// Reports progress in samples of one point.
void assemble_hessians(Workspace& workspace, const Problem& problem, std::span<const double> thetas, HessianPart part,
                       const Control& control, double* matrices);

/// Throws NonFiniteHessian if one of matrices (count, n, n, device memory) has a non-finite entry; `caller` refers to
/// the first matrix.
void require_finite_matrices(Workspace& workspace, const double* matrices, std::int64_t count, std::int64_t n,
                             HessianCaller caller);

/// Writes the Hessian at θ (M) to `hessian` (M, M, host memory).
void hessian(Workspace& workspace, const Problem& problem, std::span<const double> theta, HessianPart part,
             const Control& control, std::span<double> hessian);

/// products (k, M) = H V of vectors (k, M), forward over reverse, a batch of vectors at a time. The bits of a product
/// do not depend on the other vectors. Reports progress in vectors.
void hessian_products(Workspace& workspace, const Problem& problem, std::span<const double> theta, HessianPart part,
                      std::span<const double> vectors, const Control& control, std::span<double> products);

/// matrix (M, M, device memory) = N·H by products with unit vectors at θ (M, device memory), for networks that are no
/// chain of dense layers. Reports progress in rows.
void multiply_unit_vectors(Workspace& workspace, const Problem& problem, const double* theta, HessianPart part,
                           const Control& control, double* matrix);
/// Device bytes that it holds.
double unit_products_bytes(const Problem& problem);

/// Eigenvalues of the Hessian and, if asked for, eigenvectors with their residual; the Hessian stays on the device.
/// Leaves the inertia to the caller. Throws NonFiniteHessian and, before any work, OutOfMemory with
/// hessian_spectrum_bytes().
Spectrum hessian_spectrum(Workspace& workspace, const Problem& problem, std::span<const double> theta, HessianPart part,
                          bool vectors, const Control& control, const HessianCaller& caller = {"hessian_spectrum"});

/// The same at the points thetas (k, M); small ones are solved in batches. Reports progress in points.
std::vector<Spectrum> hessian_spectra(Workspace& workspace, const Problem& problem, std::span<const double> thetas,
                                      HessianPart part, bool vectors, const Control& control);

/// Peak device bytes of hessian_spectrum(), without the data.
double hessian_spectrum_bytes(Workspace& workspace, const Problem& problem, HessianPart part, bool vectors);

/// Whether H + shift·I has a Cholesky factor; only the size of H and the answer leave the device. Throws OutOfMemory,
/// before any work, with all bytes needed at the peak.
bool hessian_has_factor(Workspace& workspace, const Problem& problem, std::span<const double> theta, HessianPart part,
                        const ShiftRule& shift, const Control& control);

}  // namespace lossatlas::cuda
