// The exact Hessian, its products with vectors and its spectrum on a CUDA device (theory section 5): over fixed chunks
// of samples, in order, the recursions for S, J and δ by cuBLAS, then each pair of layers as one product on the fp64
// tensor cores.
#pragma once

#include <cstdint>
#include <span>

#include <lossatlas/hessian.hpp>
#include <lossatlas/progress.hpp>
#include <lossatlas/spectrum.hpp>

#include "cuda/problem.hpp"
#include "cuda/workspace.hpp"

namespace lossatlas::cuda {

/// How the curvature of the loss enters.
enum class HessianMethod : std::uint8_t {
  jacobian,  ///< Jᵀ J with one row of J for each output of each sample; the rest is sparse
  blocks,    ///< S_kl of every pair of layers, in one product for each unit
};

/// The cheaper way: by the problem and the part alone.
HessianMethod hessian_method(const Network& network, HessianPart part);

/// Device memory for a Hessian (M, M). Throws OutOfMemory with the bytes of it and of what assembling it takes.
DeviceBuffer<double> hessian_memory(Workspace& workspace, const Problem& problem, HessianPart part);

/// matrix (M, M, device memory): the Hessian at θ (M), symmetric to the bit.
void assemble_hessian(Workspace& workspace, const Problem& problem, std::span<const double> theta, HessianPart part,
                      const Control& control, double* matrix);

/// hessian (M, M, host memory): the same.
void hessian(Workspace& workspace, const Problem& problem, std::span<const double> theta, HessianPart part,
             const Control& control, std::span<double> hessian);

/// products (k, M) = H V of vectors (k, M), forward over reverse. The bits of a product do not depend on the other
/// vectors.
void hessian_products(Workspace& workspace, const Problem& problem, std::span<const double> theta, HessianPart part,
                      std::span<const double> vectors, std::span<double> products);

/// Eigenvalues, and eigenvectors with their residual if asked for, of the Hessian, which stays on the device. Leaves
/// the inertia to the caller. Throws Error when the Hessian has a non-finite entry.
Spectrum hessian_spectrum(Workspace& workspace, const Problem& problem, std::span<const double> theta, HessianPart part,
                          bool vectors, const Control& control);

}  // namespace lossatlas::cuda
