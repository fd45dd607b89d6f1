#include <lossatlas/rates.hpp>

#include "backend/backend.hpp"

namespace lossatlas {

DeviceRates measure_rates(const Device& device, Precision precision, const Control& control) {
  return make_backend(device)->rates(precision, control);
}

}  // namespace lossatlas
