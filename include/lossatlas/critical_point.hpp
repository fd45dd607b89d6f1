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

/// A point and its certificate (docs/theory.md, section 6).
struct CriticalPoint {
  std::vector<double> theta;  ///< (M)
  double loss = 0;
  double gradient_l1 = 0;   ///< ‖∇R‖₁
  double gradient_max = 0;  ///< ‖∇R‖∞
  Inertia inertia;          ///< of the Hessian; its zeros are the degeneracy
  ZeroRule zero;
  std::string device;  ///< what computed the Hessian's spectrum; empty where there is none
  /// True if ‖∇R‖₁ is within the requested tolerance and the point is finite.
  bool critical = false;
  /// False if the point lies at infinity, for one of three reasons. (1) A neuron with non-zero output weights is
  /// saturated (|φ'| < 1e-6 on all samples, or on all but too few to fix its weights) or nearly constant on the data (a
  /// range of 1e-9 of its size; of 1e-2 if the whole output is constant, since a small gradient cannot tell such
  /// neurons' weights from 0). Exactly constant neurons (no input weights, or dead ReLU neurons) count as finite. (2)
  /// The cross entropy keeps falling in a direction that changes, to first order, only probabilities below 1e-8, as on
  /// data that are separated wholly or in part. (3) Further Newton steps keep moving θ by more than 1e-6 relative.
  bool finite = false;
  std::string remark;  ///< why it is not finite or not critical; empty otherwise
};

/// Adam descends; then Newton runs and is kept if it stays near the end of the descent; else Levenberg–Marquardt, then
/// Newton.
struct CriticalPointOptions {
  double tolerance = 1e-12;                 ///< on ‖∇R‖₁
  std::int64_t descent_iterations = 20000;  ///< of Adam, before Levenberg–Marquardt and Newton
  double descent_rate = 0.02;
  std::int64_t polish_iterations = 200;  ///< at most, for Levenberg–Marquardt and for Newton each
  Control control = {};
};

/// Finds the critical point that descent from `start`, followed by a polish, leads to. On CUDA the device computes the
/// eigenvalues. Finding none is not an error: see `critical`. Throws InvalidArgument, before any work, for a θ of the
/// wrong size or not finite, for a bad option and, on the CPU, for more than 32766 parameters (Newton needs
/// eigenvectors).
/// @snippet api/critical_points.cpp critical point
LOSSATLAS_API CriticalPoint find_critical_point(const Landscape& landscape, std::span<const double> start,
                                                const CriticalPointOptions& options = {});
/// The certificate of θ as it is; only the Newton steps that test finiteness move away from it. Throws as
/// find_critical_point() does.
/// @snippet api/critical_points.cpp critical point
LOSSATLAS_API CriticalPoint certify_critical_point(const Landscape& landscape, std::span<const double> theta,
                                                   double tolerance = 1e-12);

/// Even starts (0, 2, 4, ...) run find_critical_point() and mostly reach minima. Odd starts look for what their descent
/// passes, mostly saddles: they leave the descent after ⌊2^u⌋ − 1, ⌊2^(u+1)⌋ − 1, ⌊2^(u+2)⌋ − 1, ... iterations up to
/// `descent_iterations`, u uniform in [0, 1), and continue from each of these points by Newton alone, until Newton
/// reaches a minimum or the descent heads for infinity. So one start may lead to several points.
struct CriticalSearchOptions {
  std::int64_t starts = 64;
  InitOptions init = {.seed = 1, .scale = {}, .power = 3};  ///< each start has a seed of its own, drawn from this one
  double same = 1e-6;  ///< relative distance below which two reduced points are the same
  CriticalPointOptions each = {};
};

/// Points that realise the same function in the same way. They are equal once neurons without output weights and dead
/// ReLU neurons are dropped, neurons constant on the data are folded into the next bias, and equal neurons are merged,
/// up to permutation; signs (odd activations, and sigmoids below a bias); positive factors between input and output
/// weights (relu, leaky relu); and a common shift of a head's outputs (cross entropy). All points with a constant
/// output form one class, however they arise. In a network that is no chain of dense layers, points are of one class if
/// their outputs on the data are equal, up to that shift.
struct CriticalClass {
  /// The member with the smallest gradient, if possible among those whose ZeroRule::gap supports the inertia (1000 or
  /// more).
  CriticalPoint representative;
  std::int64_t count = 0;         ///< starts that led here; some of them may have led to other classes, too
  std::vector<Inertia> inertias;  ///< the distinct inertias of the members
  /// The output is the same on all data, to 1e-5 of the targets. It is then the mean target (cross entropy: the label
  /// frequencies), since Σ_j a_ij ∂R/∂a_kj = c_i Σ_n e_nk for the constant c ≠ 0, output weights a and e = ∂R/∂output.
  bool constant = false;
};

/// Each start counts in exactly one of `found`, `vanishing_output`, `at_infinity` and `not_converged`: the first in
/// this order that one of its points belongs to. A start that leads to several classes adds to the count of each.
struct CriticalSearch {
  /// Finite critical points, ascending in the representative's loss. Omits the constant zero output (under cross
  /// entropy: equal probabilities of all classes, unless the labels are equally frequent).
  std::vector<CriticalClass> classes;
  std::int64_t found = 0;             ///< starts that led to at least one class
  std::int64_t not_converged = 0;     ///< starts without a critical point
  std::int64_t at_infinity = 0;       ///< starts that led to infinity
  std::int64_t vanishing_output = 0;  ///< starts that led to the constant zero output
};

/// Runs many starts in parallel on the CPU, one after another on other devices. The result does not depend on the
/// number of threads. Reports progress in starts. Throws as find_critical_point() does, and OutOfMemory with the bytes
/// for the points of all starts and for the matrices of those that run at the same time (4·8·M² per thread).
/// @snippet api/critical_points.cpp search
LOSSATLAS_API CriticalSearch search_critical_points(const Landscape& landscape,
                                                    const CriticalSearchOptions& options = {});

}  // namespace lossatlas
