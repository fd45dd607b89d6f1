#include <lossatlas/loss.hpp>

#include "base/check.hpp"

namespace lossatlas {

std::string_view name(Loss loss) {
  switch (loss) {
    case Loss::mean_squared_error:
      return "mse";
    case Loss::cross_entropy:
      return "ce";
  }
  throw InvalidArgument(message("name", "received loss number ", static_cast<int>(loss),
                                ", expected 0 or 1; pass an enumerator of Loss"));
}

Loss parse_loss(std::string_view text) {
  if (text == "mse" || text == "mean_squared_error") return Loss::mean_squared_error;
  if (text == "ce" || text == "cross_entropy") return Loss::cross_entropy;
  throw InvalidArgument(
      message("parse_loss", "received loss '", text,
              "', expected one of mse, mean_squared_error, ce, cross_entropy; use one of these names"));
}

}  // namespace lossatlas
