#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include <lossatlas/error.hpp>
#include <lossatlas/export.hpp>
#include <lossatlas/hessian_part.hpp>
#include <lossatlas/landscape.hpp>
#include <lossatlas/progress.hpp>
#include <lossatlas/spectrum.hpp>

namespace lossatlas {

/// Options of the functions below.
struct HessianOptions {
  HessianPart part = HessianPart::full;
  Control control = {};
};

/// ∇²R(θ) (M, M) row-major, f64, symmetric to the bit, assembled from products over the samples (about N·M² FLOP;
/// docs/theory.md, section 5). relu and leaky_relu count with φ'' = 0. The mean squared error has no factor ½, so its
/// eigenvalues are twice those of half the squared error. Throws InvalidArgument on a wrong size, OutOfMemory with the
/// bytes of the matrix.
/// @snippet api/curvature.cpp hessian
LOSSATLAS_API std::vector<double> hessian(const Landscape& landscape, std::span<const double> theta,
                                          const HessianOptions& options = {});

/// The spectrum of ∇²R(θ). Throws as hessian() does; InvalidArgument, before any work, for a zero threshold that is
/// negative or not finite and, on the CPU, for eigenvectors of more than 32766 parameters; OutOfMemory with all bytes
/// that the device needs at once; NonFiniteHessian; Error if the iteration does not converge.
/// @snippet api/curvature.cpp spectrum
LOSSATLAS_API Spectrum hessian_spectrum(const Landscape& landscape, std::span<const double> theta,
                                        const SpectrumOptions& spectrum = {}, const HessianOptions& options = {});

/// The cost of hessian_spectrum().
struct SpectrumCost {
  double assembly_flop = 0;  ///< about N·M²
  /// 4M³/3 for the tridiagonal form; with eigenvectors up to 8M³ in all, for divide and conquer, back-transformation
  /// and residual.
  double eigen_flop = 0;
  double bytes = 0;  ///< peak on the landscape's device, without the data: at least 8M², twice that with vectors
};
/// Counts the cost before any work. Throws nothing but DeviceError.
/// @snippet api/curvature.cpp spectrum
LOSSATLAS_API SpectrumCost spectrum_cost(const Landscape& landscape, const SpectrumOptions& spectrum = {},
                                         HessianPart part = HessianPart::full);

/// The spectra at k points thetas (k, M), for many small Hessians. On the CPU each thread solves one at a time. On
/// CUDA, Hessians of up to 512 parameters are assembled and solved in batches on the device (cusolverDnXsyevBatched),
/// larger ones one after another; batches shrink to fit the memory. The bits of a spectrum depend neither on the other
/// points nor on batches and threads; on the CPU they are those of hessian_spectrum(). Reports progress in points,
/// stage "spectra". Throws as hessian_spectrum() does, naming the point, and OutOfMemory with the bytes for one point,
/// or for the eigenvectors of all.
/// @snippet api/curvature.cpp spectra
LOSSATLAS_API std::vector<Spectrum> hessian_spectra(const Landscape& landscape, std::span<const double> thetas,
                                                    const SpectrumOptions& spectrum = {},
                                                    const HessianOptions& options = {});

/// Multiplies by ∇²R(θ) without assembling it; about 4 gradients per vector.
/// @snippet api/curvature.cpp products
class LOSSATLAS_API HessianOperator {
 public:
  /// Keeps a reference to `landscape`, which must outlive it.
  HessianOperator(const Landscape& landscape, std::vector<double> theta, HessianPart part = HessianPart::full);

  std::int64_t size() const { return static_cast<std::int64_t>(theta_.size()); }  ///< M
  /// products (k, M) of vectors (k, M), a batch of vectors at a time. The bits of a product do not depend on the other
  /// vectors. Reports progress in vectors, stage "products". Throws InvalidArgument on a wrong size.
  std::vector<double> multiply(std::span<const double> vectors, const Control& control = {}) const;

 private:
  const Landscape* landscape_;
  std::vector<double> theta_;
  HessianPart part_;
};

}  // namespace lossatlas
