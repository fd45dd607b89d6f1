#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include <lossatlas/export.hpp>
#include <lossatlas/landscape.hpp>
#include <lossatlas/network.hpp>
#include <lossatlas/progress.hpp>
#include <lossatlas/spectrum.hpp>

namespace lossatlas {

/// A point with its certificate (theory section 6).
struct CriticalPoint {
  std::vector<double> theta;  ///< (M)
  double loss = 0;
  double gradient_l1 = 0;   ///< ‖∇R‖₁
  double gradient_max = 0;  ///< ‖∇R‖∞
  Inertia inertia;          ///< of the Hessian; its zeros are the degeneracy
  ZeroRule zero;
  /// ‖∇R‖₁ is within the tolerance asked for, and the point is finite.
  bool critical = false;
  /// False when the point lies at infinity: a neuron with non-zero output weights is saturated (|φ'| < 1e-6 on all
  /// samples, or on all but too few to fix its weights) or constant on the data, or further Newton steps go on moving θ
  /// by more than 1e-6 relative.
  bool finite = false;
  std::string remark;  ///< why it is not finite or not critical; empty otherwise
};

/// Descent by Adam; then Newton, kept if it stays near where the descent ended; else Levenberg–Marquardt and Newton.
struct CriticalPointOptions {
  double tolerance = 1e-12;                 ///< on ‖∇R‖₁
  std::int64_t descent_iterations = 20000;  ///< of Adam, before Levenberg–Marquardt and Newton
  double descent_rate = 0.02;
  std::int64_t polish_iterations = 200;  ///< each, of Levenberg–Marquardt and of Newton
  Control control = {};
};

/// The critical point that descent from `start` and a polish lead to. Not an error when there is none: see `critical`.
LOSSATLAS_API CriticalPoint find_critical_point(const Landscape& landscape, std::span<const double> start,
                                                const CriticalPointOptions& options = {});
/// The certificate of θ as it is, nothing moved but by the Newton steps that test finiteness.
LOSSATLAS_API CriticalPoint certify_critical_point(const Landscape& landscape, std::span<const double> theta,
                                                   double tolerance = 1e-12);

/// Starts 0, 2, 4, ... are followed as find_critical_point() does, to minima for the most part. The others leave the
/// descent after a random number of iterations, log-uniform up to all of them, and go on by Newton alone, which leads
/// to saddles too.
struct CriticalSearchOptions {
  std::int64_t starts = 64;
  std::uint64_t seed = 1;
  /// Standard deviation of the initial parameters, one for all layers; 0: m^(−3/2) with m the widest hidden layer, as
  /// in [Z21].
  double scale = 0;
  double same = 1e-6;  ///< relative distance below which two reduced points are the same
  CriticalPointOptions each = {};
};

/// Points that are the same function reached in the same way: equal after dropping neurons without output weights and
/// merging equal neurons, up to permutation and, for odd activations, signs.
struct CriticalClass {
  CriticalPoint representative;   ///< the member with the smallest gradient
  std::int64_t count = 0;         ///< starts that led here
  std::vector<Inertia> inertias;  ///< distinct ones of the members
};

struct CriticalSearch {
  std::vector<CriticalClass> classes;  ///< finite critical points by loss, ascending; the constant zero output left out
  std::int64_t not_converged = 0;      ///< starts without a critical point
  std::int64_t at_infinity = 0;        ///< starts that led to infinity
  std::int64_t vanishing_output = 0;   ///< starts that led to the constant zero output
};

/// Many starts in parallel on the CPU (one after the other on another device), the same result for any number of
/// threads. Progress counts starts.
LOSSATLAS_API CriticalSearch search_critical_points(const Landscape& landscape,
                                                    const CriticalSearchOptions& options = {});

}  // namespace lossatlas
