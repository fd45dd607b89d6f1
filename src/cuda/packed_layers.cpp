#include "cuda/packed_layers.hpp"

#include "base/parallel.hpp"

namespace lossatlas::cuda {
namespace {

// Appends the matrices (parts, out, in) of a layer in the given order.
template <class T>
void append_weights(const ChainLayer& layer, MatrixOrder order, const Control& control, std::vector<T>& to) {
  for (std::size_t part = 0; part <= layer.weight_directions.size(); ++part) {
    const double* weights = layer.weights.data() + static_cast<std::int64_t>(part) * layer.out * layer.in;
    const bool rows = order == MatrixOrder::out_in;
    for (std::int64_t i = 0; i < (rows ? layer.out : layer.in); ++i) {
      check_stop(control);
      if (rows) {
        to.insert(to.end(), weights + i * layer.in, weights + (i + 1) * layer.in);
      } else {
        for (std::int64_t o = 0; o < layer.out; ++o) to.push_back(static_cast<T>(weights[o * layer.in + i]));
      }
    }
  }
}

}  // namespace

template <class T>
PackedLayers<T>::PackedLayers(Memory& memory, std::span<const ChainLayer> layers, MatrixOrder order,
                              const Control& control) {
  std::vector<T> values;
  std::vector<std::int32_t> directions;
  std::size_t size = 0;
  for (const ChainLayer& layer : layers) size += layer.weights.size() + layer.biases.size();
  values.reserve(size);
  for (const ChainLayer& layer : layers) {
    append_weights(layer, order, control, values);
    for (const double bias : layer.biases) values.push_back(static_cast<T>(bias));
    directions.insert(directions.end(), layer.weight_directions.begin(), layer.weight_directions.end());
    directions.insert(directions.end(), layer.bias_directions.begin(), layer.bias_directions.end());
  }
  values_ = uploaded(memory, std::span<const T>(values));
  directions_ = uploaded(memory, std::span<const std::int32_t>(directions));
  const T* value = values_.data();
  const std::int32_t* direction = directions_.data();
  for (const ChainLayer& layer : layers) {
    kernels::LayerParts<T> part;
    part.in = layer.in;
    part.out = layer.out;
    part.activation = layer.activation;
    part.moving_weights = static_cast<std::int32_t>(layer.weight_directions.size());
    part.moving_biases = static_cast<std::int32_t>(layer.bias_directions.size());
    part.weights = value;
    part.biases = layer.biases.empty() ? nullptr : value + layer.weights.size();
    part.weight_directions = direction;
    part.bias_directions = direction + layer.weight_directions.size();
    value += layer.weights.size() + layer.biases.size();
    direction += layer.weight_directions.size() + layer.bias_directions.size();
    parts_.push_back(part);
  }
  device_parts_ = uploaded(memory, this->layers());
}

template class PackedLayers<float>;
template class PackedLayers<double>;

}  // namespace lossatlas::cuda
