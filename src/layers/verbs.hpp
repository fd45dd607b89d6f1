// The verbs of a layer, declared once for every device: what a pass over samples needs of a layer. For a dense layer
// z = W a + b, with a dot for a tangent and a bar for a cotangent:
//
//   forward         z ← W a + b
//   jvp             ż ← V a + v + W ȧ, along (V, v) in the parameters and ȧ in the inputs
//   vjp_input       ā ← Wᵀ z̄ + β ā
//   vjp_parameters  W̄ += Σ_n z̄_n a_nᵀ,  b̄ += Σ_n z̄_n;  without the bias, if there is no memory for b̄
//
// Matrices have a row per sample and no gaps between rows, but for inputs on CUDA, which may have some. `inputs` are
// the values that the layer takes, `tangents` theirs; a tangent without data is 0. The activation is the pass's own.
#pragma once

#include <cstdint>
#include <span>
#include <variant>

namespace lossatlas {

/// A device has the verbs of a kind of layer. It names its types Matrix, ConstMatrix, Parameters (the layer's part of θ
/// or of a direction) and Gradient (the same, to be added to).
template <class Device, class L>
concept HasVerbs = requires(const Device& device, const L& layer, const typename Device::Parameters& parameters,
                            const typename Device::Parameters& direction, const typename Device::Gradient& gradient,
                            std::int64_t rows, std::span<const typename Device::ConstMatrix> inputs,
                            std::span<const typename Device::ConstMatrix> tangents,
                            typename Device::ConstMatrix cotangent, double beta, typename Device::Matrix result) {
  forward(device, layer, parameters, rows, inputs, result);
  jvp(device, layer, parameters, direction, rows, inputs, tangents, result);
  vjp_input(device, layer, parameters, rows, cotangent, beta, result);
  vjp_parameters(device, layer, rows, cotangent, inputs, gradient);
};

template <class Device, class Layers>
inline constexpr bool has_all_verbs = false;
/// Whether a device has the verbs of every kind of layer.
template <class Device, class... Layers>
inline constexpr bool has_all_verbs<Device, std::variant<Layers...>> = (HasVerbs<Device, Layers> && ...);

}  // namespace lossatlas
