#pragma once

#include <cstdint>
#include <string_view>

#include <lossatlas/export.hpp>

namespace lossatlas {

/// The loss ℓ of one sample, averaged over the samples and summed over heads.
///
/// mean_squared_error: ‖p − y‖², summed over outputs, without ½; labels count as one-hot targets.
/// cross_entropy: logsumexp(p) − y·p, with labels as one-hot y or targets as label distributions.
enum class Loss : std::uint8_t { mean_squared_error, cross_entropy };

/// "mse" or "ce".
LOSSATLAS_API std::string_view name(Loss loss);
/// The inverse of name(), which also takes "mean_squared_error" and "cross_entropy". Throws InvalidArgument.
LOSSATLAS_API Loss parse_loss(std::string_view text);

}  // namespace lossatlas
