#include <lossatlas/precision.hpp>

#include "base/check.hpp"

namespace lossatlas {

const char* name(Precision precision) {
  switch (precision) {
    case Precision::f64:
      return "f64";
    case Precision::f32:
      return "f32";
    case Precision::fast:
      return "fast";
  }
  return "unknown";
}

Precision parse_precision(const std::string& text) {
  for (const Precision precision : {Precision::f64, Precision::f32, Precision::fast}) {
    if (text == name(precision)) return precision;
  }
  throw InvalidArgument(message("parse_precision", "received \"", text, "\", expected f64, f32 or fast"));
}

}  // namespace lossatlas
