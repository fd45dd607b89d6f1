// JSON as the program writes it, and the descriptions that it prints.
#pragma once

#include <filesystem>
#include <span>
#include <string>

#include <lossatlas/lossatlas.hpp>

#include "json.hpp"
#include "output.hpp"

namespace lossatlas::cli {

/// Prints the JSON on stdout.
void print(const Json& json);
void write_json(const std::filesystem::path& file, const Json& json);

Json describe(const Grid& grid);
Json describe(const Network& network);
Json describe(const Dataset& data);
Json describe(const Inertia& inertia);
/// "12 positive, 1 zero, 3 negative".
std::string counts(const Inertia& inertia);

struct Norms {
  double l1 = 0;
  double l2 = 0;
  double max = 0;  ///< NaN if any value is
};
Norms norms(std::span<const double> values);

/// The lines of explain() as JSON.
Json plan_lines(const std::string& plan);
/// A row-major matrix of n columns as nested lists.
Json rows(std::span<const double> values, std::size_t columns);

/// Writes losses as an array (n₁, ..., n_z, H).
void write_surface_npy(const std::filesystem::path& file, const Surface& surface);
/// Writes directions as an array (z, M).
void write_directions(const std::filesystem::path& file, const Section& section);

}  // namespace lossatlas::cli
