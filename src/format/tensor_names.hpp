// Names of the tensors in another program's model file, and the layers that they indicate.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "file/file_context.hpp"

namespace lossatlas {

/// What to do with a model whose layers have names instead of numbers.
inline constexpr std::string_view kSaveSequential =
    "in PyTorch, save_file(nn.Sequential(model.first, nn.ReLU(), model.second).state_dict(), FILE) makes such a file";

struct TensorName {
  std::string prefix;
  std::uint32_t number = 0;
  bool weight = false;
};

/// Parses "net.10.weight" as {"net.", 10, true}; nullopt for other names.
std::optional<TensorName> parse_tensor_name(std::string_view text);

/// Throws FileError if the tensor is a counter or a statistic of a batch normalisation.
void refuse_batch_norm(std::string_view name, const FileContext& context);

/// Throws FileError if the name or shape of a tensor shows that its layer is not linear.
void refuse_other_layers(std::string_view name, std::span<const std::int64_t> shape, const FileContext& context);

}  // namespace lossatlas
