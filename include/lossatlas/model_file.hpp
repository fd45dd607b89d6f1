#pragma once

#include <filesystem>
#include <optional>
#include <vector>

#include <lossatlas/export.hpp>
#include <lossatlas/network.hpp>

namespace lossatlas {

/// A network and its parameters θ (M).
struct Model {
  Network network;
  std::vector<double> theta;
};

/// Writes a safetensors file: tensors `layers.I.weight` (out, in) and `layers.I.bias` (out), F64, in θ's order, and the
/// architecture as JSON under metadata key `lossatlas.network`. The file appears complete or not at all. Throws
/// FileError.
/// @snippet api/files.cpp model
LOSSATLAS_API void write_model(const std::filesystem::path& file, const Network& network,
                               std::span<const double> theta);

/// Reads a file of write_model() or, if `architecture` is given, any safetensors file whose names sort into a sequence
/// of dense layers such as `0.weight`, `0.bias`, `2.weight` (F64, F32, F16, BF16). Throws FileError on malformed files
/// (offsets, overlaps, shapes, header size) and on tensors that do not fit the architecture.
/// @snippet api/files.cpp model
/// @snippet api/files.cpp other model
LOSSATLAS_API Model read_model(const std::filesystem::path& file,
                               const std::optional<Network>& architecture = std::nullopt);

}  // namespace lossatlas
