#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include <lossatlas/export.hpp>
#include <lossatlas/hessian.hpp>
#include <lossatlas/landscape.hpp>
#include <lossatlas/progress.hpp>

namespace lossatlas {

/// What the Cholesky factorisation of H + εI says about the eigenvalues of H; r bounds its rounding.
enum class Curvature : std::uint8_t {
  not_negative,  ///< a factor exists: every eigenvalue is above −(ε + r)
  negative,  ///< none exists, ε > r: some eigenvalue is at most −(ε − r) < 0; at a critical point a strict saddle
  undecided,  ///< none exists, ε ≤ r: rounding alone may be why
};

/// Options of test_curvature().
struct CurvatureOptions {
  /// ε ≥ 0. Default: max(1e-11, 10·n·ε_mach·‖H‖_F) + r, the threshold of ZeroRule with ‖H‖_F ≥ ‖H‖₂ in place of ‖H‖₂,
  /// so that what counts as zero there never counts as negative here.
  std::optional<double> below = std::nullopt;
  HessianPart part = HessianPart::full;
  Control control = {};
};

/// Result of test_curvature().
struct CurvatureTest {
  Curvature curvature = Curvature::undecided;
  double below = 0;     ///< ε
  double rounding = 0;  ///< r = (n + 2)·ε_mach·(Σ |h_ii| + n·ε)
  std::string device;   ///< what computed the factorisation
};

/// Answers "minimum or saddle?" without eigenvalues: tries to factor ∇²R(θ) + εI = L Lᵀ. This takes n³/3 FLOP; all
/// eigenvalues take 4n³/3 for the tridiagonal form alone. On CUDA the Hessian stays on the device. Backward error: the
/// computed factor is exact for H + εI + E with ‖E‖₂ ≤ (n + 2)·u·trace (1 + O(nu)), u = ε_mach/2 (Demmel; Higham,
/// Accuracy and Stability of Numerical Algorithms, 2nd edition, Theorem 10.5). The same holds for the part of a factor
/// that precedes a non-positive pivot; r is twice the bound. Zeros are not told from small positive eigenvalues; use
/// hessian_spectrum() for that. Throws as hessian_spectrum() does, and InvalidArgument for an ε that is negative or not
/// finite.
/// @snippet api/curvature.cpp curvature
LOSSATLAS_API CurvatureTest test_curvature(const Landscape& landscape, std::span<const double> theta,
                                           const CurvatureOptions& options = {});

}  // namespace lossatlas
