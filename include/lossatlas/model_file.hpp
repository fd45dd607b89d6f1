#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <vector>

#include <lossatlas/activation.hpp>
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

/// Reads a file of write_model() or, if `architecture` is given, the linear layers of any safetensors file, as
/// read_state_dict() finds them. Throws FileError on malformed files (offsets, overlaps, shapes, header size) and on
/// tensors that do not fit the architecture.
/// @snippet api/files.cpp model
LOSSATLAS_API Model read_model(const std::filesystem::path& file,
                               const std::optional<Network>& architecture = std::nullopt);

/// What a file of another program's weights does not tell of its network.
struct StateDictOptions {
  std::vector<Activation> activations = {};          ///< of each hidden layer, or one for all; none if there is none
  std::optional<std::int64_t> heads = std::nullopt;  ///< H, that the outputs are divided into; else 1
};

/// Reads the state dict of a PyTorch model of linear layers, saved as safetensors (F64, F32, F16, BF16): tensors
/// NAME.weight (out, in) and NAME.bias (out), which any of the layers may lack. Each layer takes the outputs of the one
/// before. Names that are the same up to the first number follow in natural order (fc1, fc2, fc10; net.0.a, net.2.b);
/// where they differ before it (encoder.0, decoder.0), the shapes must leave one order only. Parts that wrappers add
/// (`module.`, `_orig_mod.`) are dropped, the counter n_averaged skipped. A file of write_model() tells its network
/// itself; options that are given must agree, activations with those of its nodes that have one. Throws FileError on
/// malformed files, other kinds of layers, layers that do not follow each other or could in two ways, and on a wrong
/// number of activations or heads.
/// @snippet api/files.cpp other model
LOSSATLAS_API Model read_state_dict(const std::filesystem::path& file, const StateDictOptions& options = {});

}  // namespace lossatlas
