#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace lossatlas {

/// Numbers of positive, zero and negative eigenvalues of a symmetric matrix.
struct Inertia {
  std::int64_t positive = 0;
  std::int64_t zero = 0;
  std::int64_t negative = 0;

  std::int64_t size() const { return positive + zero + negative; }
  friend bool operator==(const Inertia&, const Inertia&) = default;
  friend Inertia operator+(Inertia a, Inertia b) {
    return {a.positive + b.positive, a.zero + b.zero, a.negative + b.negative};
  }
  friend Inertia operator*(std::int64_t times, Inertia a) {
    return {times * a.positive, times * a.zero, times * a.negative};
  }
};

/// What counts as zero, and how clearly the eigenvalues fall on either side of it.
struct ZeroRule {
  /// |λ| ≤ threshold counts as zero: max(1e-11, 10·n·ε·‖H‖₂) unless given ([Z21] used 1e-11).
  double threshold = 0;
  double largest_zero = 0;      ///< largest |λ| that counts as zero; 0 if none does
  double smallest_nonzero = 0;  ///< smallest |λ| that does not; infinity if all do
  /// smallest_nonzero / max(largest_zero, n·ε·‖H‖₂): below 1000 the inertia may be off by what lies near the threshold.
  double gap = 0;
};

/// Options of every function that returns a Spectrum.
struct SpectrumOptions {
  bool vectors = false;
  std::optional<double> zero_threshold = std::nullopt;
};

/// All eigenvalues of a symmetric matrix of size n.
struct Spectrum {
  std::vector<double> eigenvalues;   ///< (n) ascending
  std::vector<double> eigenvectors;  ///< (n, n), row i belongs to eigenvalue i; empty unless asked for
  Inertia inertia;
  ZeroRule zero;
  double residual = 0;  ///< max |H v − λ v| over all pairs, if vectors were asked for; NaN if any is
  std::string device;   ///< what computed it
};

}  // namespace lossatlas
