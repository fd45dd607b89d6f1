#pragma once

#include <string>
#include <vector>

#include <lossatlas/export.hpp>
#include <lossatlas/landscape.hpp>
#include <lossatlas/surface.hpp>

namespace lossatlas {

/// A surface evaluated on another data set ([C19] Observation 1), and how far it moved: measured, and predicted exactly
/// from the label statistics alone. For cross entropy L_b(h) − L_a(h) = (π_a − π_b)·p(h); for mean squared error, per
/// head, −2 (ȳ_b − ȳ_a)·p(h) + E‖y‖²_b − E‖y‖²_a.
struct TransferReport {
  std::string name;
  Surface surface;            ///< on the other data set
  double rms_difference = 0;  ///< over points and heads, L_b − L_a
  double predicted_rms_difference = 0;
  double max_disagreement = 0;  ///< max |measured − predicted|
};

/// Evaluates `section` on `other`, at the grid of `reference`, its surface on `home`, and compares the two. Both data
/// sets need the network's inputs and labels or targets. Throws InvalidArgument if they do not fit, if the reference
/// has other heads or is at a list of points, or if the output depends on the inputs; otherwise as evaluate() does.
/// @snippet api/patterns.cpp transfer
LOSSATLAS_API TransferReport transfer_report(const Landscape& home, const Section& section, const Surface& reference,
                                             const Dataset& other, const EvaluateOptions& options = {});

}  // namespace lossatlas
