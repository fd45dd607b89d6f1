#include <lossatlas/section_file.hpp>

#include <algorithm>
#include <utility>

#include <lossatlas/chebyshev.hpp>
#include <lossatlas/version.hpp>

#include "base/check.hpp"
#include "base/parallel.hpp"
#include "file/checksum.hpp"
#include "file/file_context.hpp"
#include "layers/structure.hpp"
#include "section_file/stream.hpp"
#include "surface/chebyshev_surface.hpp"
#include "surface/prepared_section.hpp"

namespace lossatlas {
namespace {

IdentityPart plain(std::string name, std::string text) {
  const std::uint64_t hash = Checksum().add(text).value();
  return {std::move(name), std::move(text), hash};
}

/// Adds the values in pieces, so that a stop is quick.
void add(Checksum& sum, std::span<const double> values, const Control& control) {
  constexpr std::size_t kPiece = std::size_t{1} << 20;
  for (std::size_t first = 0; first < values.size(); first += kPiece) {
    check_stop(control);
    sum.add(values.subspan(first, std::min(kPiece, values.size() - first)));
  }
}

IdentityPart model_part(const Network& network, const Section& section, const Control& control) {
  Checksum sum;
  sum.add(network.heads());
  for (std::int64_t l = 0; l < network.depth(); ++l) {
    const Node& node = network.nodes()[static_cast<std::size_t>(l)];
    const ParameterSizes sizes = std::visit([](const auto& one) { return parameter_sizes(one); }, node.layer);
    sum.add(sizes.in)
        .add(network.width(l))
        .add(static_cast<std::int32_t>(sizes.bias))
        .add(std::string_view(name(activation(node.layer))));
    if (!network.is_chain()) sum.add(std::as_bytes(std::span(node.inputs)));
  }
  add(sum, section.origin, control);
  return {"model", text_of('"', network.describe(), '"'), sum.value()};
}

IdentityPart directions_part(const Section& section, const Control& control) {
  Checksum sum;
  add(sum, section.directions, control);
  add(sum, section.ends, control);
  return {"directions", text_of(section.rank()), sum.value()};
}

IdentityPart data_part(const Dataset& data, const Control& control) {
  Checksum sum;
  sum.add(data.size()).add(data.features()).add(data.outputs());
  add(sum, data.inputs(), control);
  sum.add(std::as_bytes(data.labels()));
  add(sum, data.targets(), control);
  return {"data", text_of(printable(data.name()), " of ", data.size(), " x ", data.features()), sum.value()};
}

IdentityPart grid_part(const Grid& grid) {
  Checksum sum;
  for (const Axis& axis : grid.axes()) sum.add(axis.lo).add(axis.hi).add(axis.points);
  return {"grid", grid.describe(), sum.value()};
}

/// What on a device decides the bits: neither the number of threads nor which of several equal GPUs it is.
IdentityPart device_part(const Device& device, const Section& section) {
  if (device.kind() == Device::Kind::cpu) {
    const std::string blas = section.ends.empty() ? "" : ", " + blas_library();  // the ends are evaluated with it
    return plain("device", text_of("cpu, ", simd_target(), blas));
  }
  const std::string name = device.describe();
  return plain("device", "cuda" + name.substr(std::min(name.find(','), name.size())));
}

IdentityPart method_part(const EvaluateOptions& options) {
  if (options.method == Method::pointwise) return plain("method", name(options.method));
  return plain("method", text_of(name(options.method), " to ", options.tolerance));
}

std::vector<IdentityPart> identity_of(const Landscape& landscape, const Section& section, const Grid& grid,
                                      const EvaluateOptions& options) {
  return {plain("version", version()),
          model_part(landscape.network(), section, options.control),
          directions_part(section, options.control),
          data_part(landscape.data(), options.control),
          plain("loss", std::string(name(landscape.loss()))),
          grid_part(grid),
          plain("precision", name(options.precision)),
          plain("plan", options.plan == Plan::direct ? "direct" : "automatic"),
          method_part(options),
          device_part(landscape.device(), section)};
}

/// Losses of one section from its landscape, or from an interpolant of it.
class SectionSource {
 public:
  SectionSource(const Landscape& landscape, const Section& section, const Grid& grid, const EvaluateOptions& options)
      : landscape_(landscape), section_(section), grid_(grid), options_(options) {}

  /// Sets up the section and, if the method has one, the interpolant.
  void prepare(const Control& control) {
    prepared_.emplace(landscape_, section_, options_);
    if (options_.method == Method::chebyshev) {
      fit_ = fit_box(*prepared_, box_of(grid_), grid_.size(), options_);
      ran_ = fit_->report.precision;
    }
    if (interpolates() && !prepared_->has_ends()) {
      range_note_ = prepared_->range_note();
      return prepared_.reset();
    }
    prepared_->prepare(control);
    ran_ = prepared_->precision();
  }

  void evaluate(std::int64_t first, std::int64_t count, const Control& control, std::span<double> losses) {
    const SectionPoints points(grid_, first, count);
    if (!interpolates()) return prepared_->losses(points, control, losses);
    std::vector<double> list(static_cast<std::size_t>(count * grid_.rank()));
    points.copy(0, count, list);
    std::ranges::copy(fit_->interpolant->evaluate(list, std::max(1, landscape_.device().threads()), control),
                      losses.begin());
    if (prepared_) end_points_ += prepared_->replace_ends(points, {{}, control.stop}, losses);
  }

  /// Counts what the set-up, or the interpolant, holds; 0 before either exists.
  std::int64_t point_bytes() const {
    const std::int64_t losses = 8 * landscape_.network().heads();
    if (interpolates()) return losses + 8 * (grid_.rank() + std::ssize(fit_->interpolant->coefficients()));
    if (!prepared_) return 0;
    return losses + prepared_->plan().cost(landscape_.data().size(), 1, options_.precision).workspace;
  }

  void describe(SectionFileReport& report) {
    EvaluateOptions told = options_;
    told.control = {};  // the file is complete: a stop comes too late to interrupt it
    if (!ran_) {        // no tile was missing: finds what would have run
      prepared_.emplace(landscape_, section_, told);
      ran_ = prepared_->precision();
    }
    report.device = landscape_.device().describe();
    report.precision = *ran_;
    told.precision = report.precision;
    if (!fit_) {
      report.plan = landscape_.explain(section_, grid_.size(), told) + prepared_->range_note();
      return;
    }
    ChebyshevReport& chebyshev = report.chebyshev.emplace(fit_->report);
    chebyshev.evaluations += interpolates() ? end_points_ : report.points;
    chebyshev.saved = report.points - chebyshev.evaluations;
    told.method = Method::pointwise;
    report.plan = landscape_.explain(section_, interpolates() ? chebyshev.evaluations : grid_.size(), told) +
                  (prepared_ ? prepared_->range_note() : range_note_) + method_lines(*fit_, grid_);
  }

 private:
  bool interpolates() const { return fit_ && fit_->interpolant; }

  const Landscape& landscape_;
  const Section& section_;
  const Grid& grid_;
  const EvaluateOptions& options_;
  std::optional<PreparedSection> prepared_;
  std::optional<ChebyshevFit> fit_;
  std::optional<Precision> ran_;
  std::string range_note_;       ///< of a section that is no longer prepared
  std::int64_t end_points_ = 0;  ///< evaluated exactly in place of the interpolant
};

}  // namespace

SectionFileReport write_section(const std::filesystem::path& file, const Landscape& landscape, const Section& section,
                                const Grid& grid, const SectionFileOptions& options) {
  require(grid.rank() == section.rank() && section.parameters() == landscape.network().parameter_count(),
          "write_section", "received a grid of ", grid.rank(), " axes and a section of ", section.rank(),
          " directions of ", section.parameters(), " parameters, expected one axis for each and the network's ",
          landscape.network().parameter_count(), " parameters");
  SectionSource losses(landscape, section, grid, options.evaluate);
  const TileSource source{.identity = identity_of(landscape, section, grid, options.evaluate),
                          .grid = grid,
                          .heads = landscape.network().heads(),
                          .evaluate = [&](auto... arguments) { losses.evaluate(arguments...); },
                          .point_bytes = [&] { return losses.point_bytes(); },
                          .prepare = [&](const Control& control) { losses.prepare(control); }};
  SectionFileReport report = stream_section(file, source, options);
  losses.describe(report);
  return report;
}

}  // namespace lossatlas
