// The whole boundary between the library and a device. A backend brings a problem to its device and performs the few
// operations on whole problems that devices do differently; everything else is host code, written once.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <lossatlas/dataset.hpp>
#include <lossatlas/device.hpp>
#include <lossatlas/device_rates.hpp>
#include <lossatlas/error.hpp>
#include <lossatlas/hessian_part.hpp>
#include <lossatlas/loss.hpp>
#include <lossatlas/network.hpp>
#include <lossatlas/progress.hpp>
#include <lossatlas/spectrum_values.hpp>

#include "section/plan.hpp"
#include "section/section_points.hpp"

namespace lossatlas {

/// The best last layer for fixed hidden layers, by ridge-regularised least squares.
struct LastLayer {
  std::vector<double> weights;  ///< (K, F): F units of the last hidden layer
  std::vector<double> bias;     ///< (K), or empty when the layer has none
  double ridge = 0;             ///< λ that was used, relative to the mean diagonal of the Gram matrix
  bool factored_by_qr = false;  ///< Cholesky failed or its condition asked for QR
};

/// How large a symmetric matrix H is.
struct MatrixSize {
  double frobenius = 0;  ///< ‖H‖_F
  double diagonal = 0;   ///< Σ |h_ii|
};
/// Computes ε for a matrix of that size.
using ShiftRule = std::function<double(const MatrixSize&)>;
/// Whether a matrix with a shifted diagonal has a Cholesky factor.
struct ShiftedFactor {
  bool exists = false;
  std::string device;  ///< what tried to factor
};

/// A section plan that is ready to run: what does not depend on the point has been computed and stays on the device.
/// Used by one thread at a time; its landscape and its plan outlive it.
class DeviceSection {
 public:
  virtual ~DeviceSection() = default;

  /// losses (G, H) at points. Bits depend neither on how points are divided into calls or batches, nor on whether they
  /// come as a grid or as a list of the same numbers.
  virtual void losses(const SectionPoints& points, const Control& control, std::span<double> losses) = 0;
};

/// One network, data set and loss on one device. All calls are const and may run concurrently.
class DeviceLandscape {
 public:
  virtual ~DeviceLandscape() = default;

  /// The precision in which section() runs a plan if `asked` for one: f64 for a quadratic plan, f32 for `fast` if no
  /// half-precision kernel takes the plan.
  virtual Precision section_precision(const SectionPlan& plan, Precision asked) const = 0;
  /// Prepares a plan; heeds a requested stop, reports no progress.
  virtual std::unique_ptr<DeviceSection> section(const SectionPlan& plan, Precision precision,
                                                 const Control& control) const = 0;
  /// outputs (G, H·C) of a sample-free plan at points (G, z), f64.
  virtual void section_outputs(const SectionPlan& plan, std::span<const double> points, const Control& control,
                               std::span<double> outputs) const = 0;
  // The next three report progress in samples if asked to.

  /// losses (H) and accuracy (H; NaN for real targets) at θ (M).
  virtual void evaluate(std::span<const double> theta, const Control& control, std::span<double> losses,
                        std::span<double> accuracy) const = 0;
  /// ∇R (M), averaged over samples first..last−1.
  virtual void gradient(std::span<const double> theta, std::int64_t first, std::int64_t last, const Control& control,
                        std::span<double> gradient) const = 0;
  /// product (M) = (1/N) Σ_n J_nᵀ (∇²ℓ_n) J_n v: the Gauss–Newton matrix at θ times v (M).
  virtual void gauss_newton_product(std::span<const double> theta, std::span<const double> v, const Control& control,
                                    std::span<double> product) const = 0;
  /// The last layer that minimises the mean squared error plus ridge, with hidden layers as in θ; mean squared error
  /// only. ridge < 0: the backend chooses the smallest that allows a stable solve.
  virtual LastLayer solve_last_layer(std::span<const double> theta, double ridge, const Control& control) const = 0;
  /// hessian (M, M) at θ (M), row-major, symmetric to the bit.
  virtual void hessian(std::span<const double> theta, HessianPart part, const Control& control,
                       std::span<double> hessian) const = 0;
  /// products (k, M) = H V of vectors (k, M). Reports progress in vectors.
  virtual void hessian_products(std::span<const double> theta, HessianPart part, std::span<const double> vectors,
                                const Control& control, std::span<double> products) const = 0;
  /// Peak bytes of the device's memory, without the data, for assembling one Hessian and solving for its spectrum.
  virtual double hessian_spectrum_bytes(HessianPart part, bool vectors) const = 0;
  /// Eigenvalues of the Hessian and, if asked for, eigenvectors with their residual, if the device computes them
  /// without handing out the matrix; otherwise nothing, and hessian() and LAPACK do the work. The caller adds inertia
  /// and zero rule.
  virtual std::optional<Spectrum> hessian_spectrum(std::span<const double> theta, HessianPart part, bool vectors,
                                                   const Control& control) const {
    (void)theta, (void)part, (void)vectors, (void)control;
    return std::nullopt;
  }
  /// The same at the points thetas (k, M), k ≥ 1. The bits of a spectrum do not depend on the other points.
  virtual std::optional<std::vector<Spectrum>> hessian_spectra(std::span<const double> thetas, HessianPart part,
                                                               bool vectors, const Control& control) const {
    (void)thetas, (void)part, (void)vectors, (void)control;
    return std::nullopt;
  }
  /// Whether H + εI has a Cholesky factor, if the device factors without handing out the matrix; otherwise nothing, and
  /// hessian() and LAPACK do the work.
  virtual std::optional<ShiftedFactor> hessian_factor(std::span<const double> theta, HessianPart part,
                                                      const ShiftRule& shift, const Control& control) const {
    (void)theta, (void)part, (void)shift, (void)control;
    return std::nullopt;
  }
};

class Landscape;
/// The landscape's representation on its device.
const DeviceLandscape& on_device(const Landscape& landscape);

/// One device, as the library sees it.
class Backend {
 public:
  virtual ~Backend() = default;

  virtual std::string describe() const = 0;
  virtual std::unique_ptr<DeviceLandscape> landscape(const Network& network, const Dataset& data, Loss loss) const = 0;
  /// Measures the rates now. Heeds a requested stop.
  virtual DeviceRates rates(Precision precision, const Control& control) const = 0;
};

/// The backend of a device; throws DeviceError.
std::shared_ptr<const Backend> make_backend(const Device& device);

namespace cpu {
std::shared_ptr<const Backend> make_backend(int threads);
/// The SIMD target that runs on this machine: "AVX3", "AVX2", "SSE4", or "SCALAR" on anything older.
const char* simd_target_name();
}  // namespace cpu

}  // namespace lossatlas
