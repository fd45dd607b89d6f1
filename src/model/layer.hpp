// What every kind of layer has.
#pragma once

#include <cstdint>
#include <variant>

#include <lossatlas/network.hpp>

namespace lossatlas {

/// Units of a layer: m_l.
inline std::int64_t width(const Layer& layer) {
  return std::visit([](const auto& one) { return one.out; }, layer);
}

inline Activation activation(const Layer& layer) {
  return std::visit([](const auto& one) { return one.activation; }, layer);
}

}  // namespace lossatlas
