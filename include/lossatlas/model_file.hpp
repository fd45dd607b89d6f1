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
  std::vector<Activation> activations = {};  ///< of each hidden layer, or one for all of them
  std::int64_t heads = 1;                    ///< H, that the outputs are divided into
};

/// Reads the state dict of a PyTorch model of linear layers, saved as safetensors (F64, F32, F16, BF16): tensors
/// NAME.weight (out, in) and NAME.bias (out), which any of the layers may lack. The layers follow each other in the
/// natural order of their names (fc1, fc2, fc10; numbers by their values), and each takes the outputs of the one
/// before. Parts that wrappers add (`module.`, `_orig_mod.`) are dropped, the counter n_averaged skipped. A file of
/// write_model() tells its network itself; options that are given must agree. Throws FileError on malformed files, other
/// kinds of layers, layers that do not follow each other, and a wrong number of activations.
/// @snippet api/files.cpp other model
LOSSATLAS_API Model read_state_dict(const std::filesystem::path& file, const StateDictOptions& options = {});

}  // namespace lossatlas
