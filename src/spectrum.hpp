// The rule that spectra and the Cholesky test share.
#pragma once

#include <cstdint>

namespace lossatlas {

/// |λ| up to which an eigenvalue of a matrix (n, n) of this norm counts as zero: max(1e-11, 10·n·ε·norm).
double zero_threshold(std::int64_t n, double norm);

}  // namespace lossatlas
