// What all spectra share: the zero rule, checks before any work, and LAPACK on a given number of threads.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <lossatlas/landscape.hpp>
#include <lossatlas/spectrum.hpp>

namespace lossatlas {

/// |λ| up to which an eigenvalue of a matrix (n, n) of this norm counts as zero: max(1e-11, 10·n·ε·norm).
double zero_threshold(std::int64_t n, double norm);

/// Throws InvalidArgument unless a given threshold is finite and not negative.
void check_zero_threshold(std::optional<double> threshold, std::string_view function);
/// Throws InvalidArgument if the CPU would have to find more eigenvectors than LAPACK can.
void check_vector_size(const Landscape& landscape, std::string_view function);

/// Names the function and the matrix in error messages.
struct SpectrumCaller {
  std::string_view function = "symmetric_spectrum";
  std::string what = "a matrix";
};

/// The spectrum of the finite matrix (n, n) in the upper triangle of `matrix`; `threads` threads compute its residual.
Spectrum host_spectrum(std::vector<double> matrix, std::int64_t n, const SpectrumOptions& options, int threads,
                       const SpectrumCaller& caller = {});

/// max ‖H v − λ v‖₂ over the pairs of `spectrum`, for the H (n, n) whose upper triangle is in `matrix`; NaN if one is.
double largest_residual(std::vector<double> matrix, std::int64_t n, const Spectrum& spectrum, int threads);

}  // namespace lossatlas
