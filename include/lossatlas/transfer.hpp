#pragma once

#include <string>
#include <vector>

#include <lossatlas/export.hpp>
#include <lossatlas/landscape.hpp>
#include <lossatlas/surface.hpp>

namespace lossatlas {

/// A surface seen on another data set ([C19] Observation 1), and how far it moved: measured, and predicted exactly from
/// the label statistics alone. For cross entropy L_b(h) − L_a(h) = (π_a − π_b)·p(h); for mean squared error, per head,
/// −2 (ȳ_b − ȳ_a)·p(h) + E‖y‖²_b − E‖y‖²_a.
struct TransferReport {
  std::string name;
  Surface surface;            ///< on the other data set
  double rms_difference = 0;  ///< over points and heads, L_b − L_a
  double predicted_rms_difference = 0;
  double max_disagreement = 0;  ///< max |measured − predicted|
};

/// Evaluates `section` on `other` and compares with `reference`, its surface on `home`, at the reference's grid.
/// Both data sets need the network's inputs and labels or targets; throws InvalidArgument when they do not fit, when the
/// reference is of other heads or at a list of points, or when the output depends on the inputs, and as evaluate() does.
LOSSATLAS_API TransferReport transfer_report(const Landscape& home, const Section& section, const Surface& reference,
                                             const Dataset& other, const EvaluateOptions& options = {});

}  // namespace lossatlas
