#include "report.hpp"

#include <cmath>
#include <cstdio>
#include <sstream>

namespace lossatlas::cli {

namespace fs = std::filesystem;

void print(const Json& json) { print_text(json.pretty()); }

void write_json(const fs::path& file, const Json& json) { write_text(file, json.pretty()); }

Json describe(const Grid& grid) {
  Json axes = Json::array();
  for (const Axis& axis : grid.axes()) axes.push_back({{"lo", axis.lo}, {"hi", axis.hi}, {"points", axis.points}});
  return axes;
}

Json describe(const Network& network) {
  Json widths = Json::array();
  widths.push_back(network.inputs());
  Json activations = Json::array();
  for (std::int64_t l = 0; l < network.depth(); ++l) {
    widths.push_back(network.width(l));
    activations.push_back(name(activation(network.layer(l))));
  }
  Json json = {{"description", network.describe()},
               {"widths", widths},
               {"activations", activations},
               {"heads", network.heads()}};
  if (network.is_chain()) return json;
  Json inputs = Json::array();
  for (const Node& node : network.nodes()) inputs.push_back(node.inputs);
  json.add("inputs", inputs);
  return json;
}

Json describe(const Dataset& data) {
  Json json = {
      {"name", data.name()}, {"samples", data.size()}, {"features", data.features()}, {"outputs", data.outputs()}};
  if (!data.class_names().empty()) json.add("classes", data.class_names());
  return json;
}

Json describe(const Inertia& inertia) {
  return {{"positive", inertia.positive}, {"zero", inertia.zero}, {"negative", inertia.negative}};
}

std::string counts(const Inertia& inertia) {
  return std::to_string(inertia.positive) + " positive, " + std::to_string(inertia.zero) + " zero, " +
         std::to_string(inertia.negative) + " negative";
}

Norms norms(std::span<const double> values) {
  Norms norm;
  for (double value : values) {
    norm.l1 += std::abs(value);
    norm.l2 += value * value;
    // std::max would lose a NaN.
    if (std::isnan(value) || std::abs(value) > norm.max) norm.max = std::abs(value);
  }
  norm.l2 = std::sqrt(norm.l2);
  return norm;
}

Json plan_lines(const std::string& plan) {
  Json lines = Json::array();
  std::istringstream stream(plan);
  stream.exceptions(std::ios::badbit);  // else running out of memory would cut it short
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

Json rows(std::span<const double> values, std::size_t columns) {
  Json matrix = Json::array();
  for (std::size_t i = 0; i < values.size(); i += columns) {
    Json row = Json::array();
    for (double value : values.subspan(i, columns)) row.push_back(value);
    matrix.push_back(row);
  }
  return matrix;
}

void write_surface_npy(const fs::path& file, const Surface& surface) {
  auto shape = surface.grid.shape();
  shape.push_back(surface.heads);
  write_npy(file, shape, surface.losses);
}

void write_directions(const fs::path& file, const Section& section) {
  const std::int64_t shape[] = {section.rank(), section.parameters()};
  write_npy(file, shape, section.directions);
}

}  // namespace lossatlas::cli
