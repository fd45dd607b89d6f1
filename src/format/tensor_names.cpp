#include "format/tensor_names.hpp"

#include <algorithm>

namespace lossatlas {
namespace {

constexpr std::string_view kFold =
    "torch.nn.utils.fusion.fuse_linear_bn_eval makes one linear layer of a batch normalisation and the one before it";

constexpr std::string_view kLinearPart = "save the linear layers by themselves, and take what feeds them as data";

[[noreturn]] void refuse(std::string_view name, std::string_view layer, std::string_view advice,
                         const FileContext& context) {
  context.fail("with tensor ", printable(name), ", which is of ", layer, ", expected linear layers only; ", advice);
}

std::string_view leading_number(std::string_view text) { return text.substr(0, text.find_first_not_of("0123456789")); }

std::string_view without_zeros(std::string_view digits) {
  return digits.substr(std::min(digits.find_first_not_of('0'), digits.size()));
}

}  // namespace

std::optional<TensorName> parse_tensor_name(std::string_view text) {
  TensorName name;
  for (std::size_t dot = text.find('.'); dot != std::string_view::npos; dot = text.find('.')) {
    const std::string_view part = text.substr(0, dot);
    text.remove_prefix(dot + 1);
    if (part == "module" || part == "_orig_mod") continue;
    if (!name.layer.empty()) name.layer += '.';
    name.layer += part;
  }
  name.weight = text == "weight";
  if (!name.weight && text != "bias") return std::nullopt;
  return name;
}

bool NaturalLess::operator()(std::string_view a, std::string_view b) const {
  const std::string_view whole_a = a, whole_b = b;
  while (!a.empty() && !b.empty()) {
    const std::string_view x = leading_number(a), y = leading_number(b);
    if (!x.empty() && !y.empty()) {
      const std::string_view p = without_zeros(x), q = without_zeros(y);
      if (p != q) return p.size() != q.size() ? p.size() < q.size() : p < q;
      a.remove_prefix(x.size());
      b.remove_prefix(y.size());
    } else {
      if (a.front() != b.front()) return a.substr(0, 1) < b.substr(0, 1);  // as unsigned characters
      a.remove_prefix(1);
      b.remove_prefix(1);
    }
  }
  if (a.empty() != b.empty()) return a.empty();
  return whole_a < whole_b;  // "fc01" and "fc1"
}

bool is_counter(std::string_view name) { return name == "n_averaged" || name.ends_with(".n_averaged"); }

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
  if (shape.size() == 1) refuse(name, "a normalisation (its weight has one axis)", kFold, context);
  if (shape.size() >= 3)
    refuse(name, "a convolution (its weight has " + std::to_string(shape.size()) + " axes)", kLinearPart, context);
}

}  // namespace lossatlas
