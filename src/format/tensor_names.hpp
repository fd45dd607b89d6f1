// Names of the tensors in another program's model file, and the layers that they indicate.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "file/file_context.hpp"

namespace lossatlas {

/// The name of a linear layer and which of its tensors it is.
struct TensorName {
  std::string layer;
  bool weight = false;
};

/// Parses "net.fc1.weight" as {"net.fc1", true}, without the parts that PyTorch's wrappers put in, `module` and
/// `_orig_mod`; nullopt for what is neither a weight nor a bias.
std::optional<TensorName> parse_tensor_name(std::string_view text);

/// Natural order: numbers by their values, all else by characters, so that "fc2" comes before "fc10".
struct NaturalLess {
  bool operator()(std::string_view a, std::string_view b) const;
};

/// Whether the tensor is a counter of a wrapper (AveragedModel's n_averaged), not a parameter.
bool is_counter(std::string_view name);

/// Throws FileError if the tensor is a counter or a statistic of a batch normalisation.
void refuse_batch_norm(std::string_view name, const FileContext& context);

/// Throws FileError if the name or shape of a tensor shows that its layer is not linear.
void refuse_other_layers(std::string_view name, std::span<const std::int64_t> shape, const FileContext& context);

}  // namespace lossatlas
