#include "format/tensor_names.hpp"

#include <algorithm>
#include <charconv>
#include <system_error>

namespace lossatlas {
namespace {

constexpr std::string_view kFold =
    "torch.nn.utils.fusion.fuse_linear_bn_eval makes one linear layer of a batch normalisation and the one before it";

constexpr std::string_view kLinearPart = "save the linear layers by themselves, and take what feeds them as data";

[[noreturn]] void refuse(std::string_view name, std::string_view layer, std::string_view advice,
                         const FileContext& context) {
  context.fail("with tensor ", printable(name), ", which is of ", layer, ", expected linear layers only; ", advice);
}

}  // namespace

std::optional<TensorName> parse_tensor_name(std::string_view text) {
  const std::size_t dot = text.rfind('.');
  if (dot == std::string_view::npos) return std::nullopt;
  const std::string_view kind = text.substr(dot + 1);
  const std::string_view stem = text.substr(0, dot);
  const std::size_t start = stem.find_last_not_of("0123456789") + 1;
  const std::string_view digits = stem.substr(start);
  std::uint32_t number = 0;
  const auto [last, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  const bool canonical = error == std::errc() && (digits.size() == 1 || digits.front() != '0');
  const bool separated = start == 0 || stem[start - 1] == '.';
  if (!canonical || !separated || (kind != "weight" && kind != "bias")) return std::nullopt;
  return TensorName{std::string(stem.substr(0, start)), number, kind == "weight"};
}

void refuse_batch_norm(std::string_view name, const FileContext& context) {
  constexpr std::string_view kKept[] = {"num_batches_tracked", "running_mean", "running_var"};
  const bool kept = std::ranges::any_of(kKept, [&](std::string_view part) { return name.ends_with(part); });
  if (kept) refuse(name, "a batch normalisation", kFold, context);
}

void refuse_other_layers(std::string_view name, std::span<const std::int64_t> shape, const FileContext& context) {
  refuse_batch_norm(name, context);
  if (name.find("weight_ih_l") != std::string_view::npos || name.find("weight_hh_l") != std::string_view::npos)
    refuse(name, "a recurrent layer", kLinearPart, context);
  if (name.ends_with("in_proj_weight")) refuse(name, "an attention layer", kLinearPart, context);
  if (!name.ends_with(".weight") || shape.size() == 2) return;
  if (shape.size() == 1 && parse_tensor_name(name))
    refuse(name, "a normalisation (its weight has one axis)", kFold, context);
  if (shape.size() >= 3)
    refuse(name, "a convolution (its weight has " + std::to_string(shape.size()) + " axes)", kLinearPart, context);
}

}  // namespace lossatlas
