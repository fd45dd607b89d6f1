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
  std::string device;  ///< what computed the Hessian's spectrum; empty where there is none
  /// ‖∇R‖₁ is within the tolerance asked for, and the point is finite.
  bool critical = false;
  /// False when the point lies at infinity. A neuron with non-zero output weights is saturated (|φ'| < 1e-6 on all
  /// samples, or on all but too few to fix its weights) or nearly constant on the data (a range of 1e-9 of its size; of
  /// 1e-2 where the whole output is constant, as a small gradient does not tell such neurons' weights from 0); exactly
  /// constant ones, without input weights or dead ReLU neurons, are finite. Or the cross entropy goes on falling in a
  /// direction that changes, to first order, only probabilities below 1e-8, as it does on data that are separated
  /// wholly or in part. Or further Newton steps go on moving θ by more than 1e-6 relative.
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

/// The critical point that descent from `start` and a polish lead to; on CUDA the device solves for the eigenvalues.
/// Not an error when there is none: see `critical`. Throws InvalidArgument, before any work, on a θ of the wrong size
/// or not finite, on a bad option, and on the CPU on more than 32766 parameters (Newton takes eigenvectors).
LOSSATLAS_API CriticalPoint find_critical_point(const Landscape& landscape, std::span<const double> start,
                                                const CriticalPointOptions& options = {});
/// The certificate of θ as it is, nothing moved but by the Newton steps that test finiteness. Throws as
/// find_critical_point() does.
LOSSATLAS_API CriticalPoint certify_critical_point(const Landscape& landscape, std::span<const double> theta,
                                                   double tolerance = 1e-12);

/// Starts 0, 2, 4, ... are followed as find_critical_point() does, to minima for the most part. The others look for
/// what their descent passes, saddles for the most part: they leave it after ⌊2^u⌋ − 1, ⌊2^(u+1)⌋ − 1, ⌊2^(u+2)⌋ − 1,
/// ... iterations up to `descent_iterations`, u uniform in [0, 1), and each time go on by Newton alone, until that
/// leads to a minimum or the descent to infinity. So one start may lead to several points.
struct CriticalSearchOptions {
  std::int64_t starts = 64;
  InitOptions init = {.seed = 1, .scale = {}, .power = 3};  ///< each start has a seed of its own, drawn from this one
  double same = 1e-6;  ///< relative distance below which two reduced points are the same
  CriticalPointOptions each = {};
};

/// Points that are the same function reached in the same way: equal after dropping neurons without output weights (dead
/// ReLU neurons, too), moving those that are constant on the data into the next bias and merging equal neurons, up to
/// permutation, for odd activations and for sigmoids below a bias signs, for relu and leaky relu positive factors
/// between input and output weights, and under cross entropy a common shift of a head's outputs. All points with a
/// constant output are one class, however they reach it.
struct CriticalClass {
  /// The member with the smallest gradient, of those whose ZeroRule::gap supports the inertia (1000 or more) if there
  /// are any.
  CriticalPoint representative;
  std::int64_t count = 0;         ///< starts that led here; some of them may have led to other classes, too
  std::vector<Inertia> inertias;  ///< distinct ones of the members
  /// The output is the same on all of the data, to 1e-5 of the targets: then it is the mean target (cross entropy: the
  /// label frequencies), since Σ_j a_ij ∂R/∂a_kj = c_i Σ_n e_nk for the constant c ≠ 0, output weights a and
  /// e = ∂R/∂output.
  bool constant = false;
};

/// Each start is counted in exactly one of `found`, `vanishing_output`, `at_infinity` and `not_converged`: the first in
/// this order that one of its points belongs to. A start that led to several classes is in the count of each.
struct CriticalSearch {
  /// Finite critical points by the representative's loss, ascending. Left out: the constant zero output (under cross
  /// entropy: equal probabilities of all classes where the labels are not equally frequent).
  std::vector<CriticalClass> classes;
  std::int64_t found = 0;             ///< starts that led to at least one class
  std::int64_t not_converged = 0;     ///< starts without a critical point
  std::int64_t at_infinity = 0;       ///< starts that led to infinity
  std::int64_t vanishing_output = 0;  ///< starts that led to the constant zero output
};

/// Many starts in parallel on the CPU (one after the other on another device), the same result for any number of
/// threads. Progress counts starts. Throws as find_critical_point() does, and OutOfMemory with the bytes that the
/// points of all starts and the matrices of those that run at the same time need (4·8·M² a thread).
LOSSATLAS_API CriticalSearch search_critical_points(const Landscape& landscape,
                                                    const CriticalSearchOptions& options = {});

}  // namespace lossatlas
