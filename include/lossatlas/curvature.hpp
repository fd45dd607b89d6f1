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

/// What the Cholesky factorisation of H + εI tells of the eigenvalues of H, with r the bound of its rounding.
enum class Curvature : std::uint8_t {
  not_negative,  ///< a factor exists: every eigenvalue is above −(ε + r)
  negative,  ///< none exists, ε > r: some eigenvalue is at most −(ε − r) < 0; at a critical point a strict saddle
  undecided,  ///< none exists, ε ≤ r: rounding alone may be why
};

struct CurvatureOptions {
  /// ε ≥ 0. Unless given, max(1e-11, 10·n·ε_mach·‖H‖_F) + r: the threshold of ZeroRule with ‖H‖_F ≥ ‖H‖₂ in its place,
  /// so that what counts as zero there is never negative here.
  std::optional<double> below = std::nullopt;
  HessianPart part = HessianPart::full;
  Control control = {};
};

struct CurvatureTest {
  Curvature curvature = Curvature::undecided;
  double below = 0;     ///< ε
  double rounding = 0;  ///< r = (n + 2)·ε_mach·(Σ |h_ii| + n·ε)
  std::string device;   ///< what factored
};

/// "Minimum or saddle?" without eigenvalues: tries to factor ∇²R(θ) + εI = L Lᵀ, which takes n³/3 FLOP where all
/// eigenvalues take 4n³/3 for the tridiagonal form alone; on CUDA the Hessian stays on the device. A factor that is
/// computed is exact for a matrix that differs by E, ‖E‖₂ ≤ (n + 2)·u·trace (1 + O(nu)), u = ε_mach/2 (Demmel; Higham,
/// Accuracy and Stability of Numerical Algorithms, 2nd edition, Theorem 10.5), and so is the part of it that precedes a
/// pivot that is not positive; r is twice that. Zeros are not told from small positive eigenvalues: hessian_spectrum()
/// does. Throws as hessian_spectrum() does, and InvalidArgument on an ε that is negative or not finite.
LOSSATLAS_API CurvatureTest test_curvature(const Landscape& landscape, std::span<const double> theta,
                                           const CurvatureOptions& options = {});

}  // namespace lossatlas
