// --data and --loss, which make a landscape of a network, and --layer and --neuron, which name a part of it.
#pragma once

#include <string>

#include <CLI/CLI.hpp>
#include <lossatlas/lossatlas.hpp>

#include "common.hpp"
#include "report.hpp"

namespace lossatlas::cli {

struct ProblemOptions {
  std::string data;
  std::string loss;

  void add_to(CLI::App& command);
  /// For commands that use data only for a check; each option needs the other.
  void add_optional_to(CLI::App& command);
  bool given() const { return !data.empty(); }
  /// Errors about data that do not fit the network name --data.
  Landscape landscape(const Network& network, const Device& device, Session& session) const;
};

/// Throws InvalidArgument on what cannot be split or embedded.
void require_dense_chain(const Network& network);

/// --layer and --neuron of a hidden neuron.
struct NeuronOptions {
  std::int64_t layer = 1;
  std::int64_t neuron = 0;

  void add_to(CLI::App& command);
  /// Throws InvalidArgument unless the network has that neuron.
  void check(const Network& network) const;
};

/// Throws InvalidArgument naming `option` unless `copies` symmetric matrices of the network's parameters fit into the
/// free memory.
void check_hessian_memory(std::string_view option, const Network& network, double copies = 1);

/// Warns readers of inertias of an activation whose second derivative counts as zero.
std::vector<std::string> curvature_remarks(const Network& network);

/// Warns readers of one spectrum of that and of a narrow gap.
std::vector<std::string> remarks(const Network& network, double gap);

/// Prints network, data, loss and gradient of a model as the first lines of a report in text.
void print_point(const Landscape& landscape, double loss, const Norms& gradient);

}  // namespace lossatlas::cli
