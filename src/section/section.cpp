#include <cmath>
#include <numeric>

#include <lossatlas/section.hpp>

#include "base/check.hpp"
#include "base/random.hpp"

namespace lossatlas {
namespace {

double dot(std::span<const double> a, std::span<const double> b) {
  return std::inner_product(a.begin(), a.end(), b.begin(), 0.0);
}

double norm(std::span<const double> a) {
  double largest = 0;
  for (const double value : a) largest = std::max(largest, std::abs(value));
  if (largest == 0) return 0;
  double sum = 0;
  for (const double value : a) sum += (value / largest) * (value / largest);
  return largest * std::sqrt(sum);
}

void check_parameters(const Network& network, std::span<const double> theta, std::string_view function,
                      std::string_view argument) {
  require(static_cast<std::int64_t>(theta.size()) == network.parameter_count(), function, "received ", argument,
          " with ", theta.size(), " entries, expected ", network.parameter_count(), " parameters of ",
          network.describe());
  require_finite(theta, function, argument);
}

/// d ← d·‖w‖/‖d‖, or zero when either norm is.
void scale_to(std::span<double> d, std::span<const double> w) {
  const double length = norm(d);
  const double factor = length == 0 ? 0 : norm(w) / length;
  for (double& value : d) value *= factor;
}

void normalise_weight(std::span<double> d, std::span<const double> w, const ParameterBlock& block,
                      Normalisation normalisation) {
  if (normalisation == Normalisation::none) return;
  if (normalisation == Normalisation::layer) return scale_to(d, w);
  const auto filter = static_cast<std::size_t>(block.in * block.taps);  // the weights of one output
  for (std::size_t first = 0; first < d.size(); first += filter) {
    scale_to(d.subspan(first, filter), w.subspan(first, filter));
  }
}

void make_bias(std::span<double> d, std::span<const double> b, BiasDirection bias) {
  switch (bias) {
    case BiasDirection::zero:
      std::fill(d.begin(), d.end(), 0.0);
      return;
    case BiasDirection::copy:
      std::copy(b.begin(), b.end(), d.begin());
      return;
    case BiasDirection::scaled:
      scale_to(d, b);
      return;
  }
}

/// The section through `a` that reaches points[i] at α = eᵢ.
Section through(const Network& network, std::string_view function, std::span<const double> a,
                std::initializer_list<std::span<const double>> points) {
  check_parameters(network, a, function, "a");
  Section section{{a.begin(), a.end()}, {}, {}};
  const char* argument = "b";
  for (const std::span<const double> point : points) {
    check_parameters(network, point, function, argument);
    for (std::size_t i = 0; i < a.size(); ++i) section.directions.push_back(point[i] - a[i]);
    section.ends.insert(section.ends.end(), point.begin(), point.end());
    argument = "c";
  }
  require_finite(section.directions, function, "differences");
  return section;
}

}  // namespace

std::int64_t Section::rank() const {
  return origin.empty() ? 0 : static_cast<std::int64_t>(directions.size() / origin.size());
}

std::span<const double> Section::direction(std::int64_t i) const {
  require(i >= 0 && i < rank(), "Section::direction", "received ", i, ", expected 0 to ", rank() - 1);
  return std::span(directions).subspan(static_cast<std::size_t>(i) * origin.size(), origin.size());
}

std::vector<double> Section::at(std::span<const double> alpha) const {
  require(static_cast<std::int64_t>(alpha.size()) == rank(), "Section::at", "received ", alpha.size(),
          " coordinates, expected ", rank());
  require(ends.empty() || ends.size() == directions.size(), "Section::at", "received ", ends.size(),
          " entries of ends, expected none or the ", directions.size(), " of the directions");
  std::int64_t ones = 0, others = 0, last_one = 0;
  for (std::size_t i = 0; i < alpha.size(); ++i) {
    if (alpha[i] == 1) ++ones, last_one = static_cast<std::int64_t>(i);
    if (alpha[i] != 1 && alpha[i] != 0) ++others;
  }
  if (!ends.empty() && ones == 1 && others == 0) {
    const auto first = ends.begin() + last_one * parameters();
    return {first, first + parameters()};
  }
  std::vector<double> theta = origin;
  for (std::size_t i = 0; i < alpha.size(); ++i) {
    if (alpha[i] == 0) continue;
    const std::span<const double> d = direction(static_cast<std::int64_t>(i));
    for (std::size_t m = 0; m < theta.size(); ++m) theta[m] += alpha[i] * d[m];
  }
  return theta;
}

Section make_section(const Network& network, std::vector<double> origin, std::vector<double> directions) {
  check_parameters(network, origin, "make_section", "origin");
  require(!directions.empty() && directions.size() % origin.size() == 0, "make_section", "received ", directions.size(),
          " entries of directions, expected a positive multiple of ", origin.size(), " parameters");
  require_finite(directions, "make_section", "directions");
  return {std::move(origin), std::move(directions), {}};
}

Section line_section(const Network& network, std::span<const double> a, std::span<const double> b) {
  return through(network, "line_section", a, {b});
}

Section plane_section(const Network& network, std::span<const double> a, std::span<const double> b,
                      std::span<const double> c) {
  return through(network, "plane_section", a, {b, c});
}

std::vector<double> random_directions(const Network& network, std::span<const double> theta,
                                      RandomDirectionOptions options) {
  check_parameters(network, theta, "random_directions", "theta");
  require(options.count >= 1, "random_directions", "received count ", options.count, ", expected at least 1");
  const std::size_t parameters = theta.size();
  std::vector<double> directions(static_cast<std::size_t>(options.count) * parameters);
  for (std::int64_t i = 0; i < options.count; ++i) {
    const auto d = std::span(directions).subspan(static_cast<std::size_t>(i) * parameters, parameters);
    Random random(options.seed, static_cast<std::uint64_t>(i));
    for (double& value : d) value = random.normal();
    for (const ParameterBlock& block : network.blocks()) {
      const auto offset = static_cast<std::size_t>(block.offset), size = static_cast<std::size_t>(block.size());
      if (block.kind == ParameterBlock::Kind::weight) {
        normalise_weight(d.subspan(offset, size), theta.subspan(offset, size), block, options.normalisation);
      } else {
        make_bias(d.subspan(offset, size), theta.subspan(offset, size), options.bias);
      }
    }
  }
  return directions;
}

std::vector<double> direction_cosines(const Section& section) {
  const auto z = static_cast<std::size_t>(section.rank());
  std::vector<double> cosines(z * z, 1.0);
  for (std::size_t i = 0; i < z; ++i) {
    for (std::size_t k = 0; k < i; ++k) {
      const auto a = section.direction(static_cast<std::int64_t>(i)),
                 b = section.direction(static_cast<std::int64_t>(k));
      const double lengths = norm(a) * norm(b);
      cosines[i * z + k] = cosines[k * z + i] = lengths == 0 ? 0 : dot(a, b) / lengths;
    }
  }
  return cosines;
}

Section orthogonalised(const Section& section) {
  Section result{section.origin, section.directions, {}};
  const std::size_t parameters = section.origin.size();
  for (std::int64_t i = 0; i < section.rank(); ++i) {
    const auto d = std::span(result.directions).subspan(static_cast<std::size_t>(i) * parameters, parameters);
    const double length = norm(d);
    require(length > 0, "orthogonalised", "received direction ", i, " equal to zero, expected independent directions");
    for (int pass = 0; pass < 2; ++pass) {
      for (std::int64_t k = 0; k < i; ++k) {
        const auto earlier = result.direction(k);
        const double factor = dot(d, earlier) / dot(earlier, earlier);
        for (std::size_t m = 0; m < parameters; ++m) d[m] -= factor * earlier[m];
      }
    }
    const double left = norm(d);
    require(left > 1e-10 * length, "orthogonalised", "received direction ", i,
            " in the span of the earlier ones, expected independent directions");
    for (double& value : d) value *= length / left;
  }
  return result;
}

}  // namespace lossatlas
