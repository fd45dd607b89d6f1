// Memory of a section evaluation: aligned buffers, and layers packed for the kernels of section_kernel.hpp.
#pragma once

#include <algorithm>
#include <cstdint>
#include <new>
#include <span>
#include <stdexcept>
#include <utility>
#include <vector>

#include <lossatlas/error.hpp>
#include <lossatlas/progress.hpp>

#include "base/check.hpp"
#include "base/host_memory.hpp"
#include "base/parallel.hpp"
#include "cpu/section_kernel.hpp"
#include "section/plan.hpp"

namespace lossatlas::cpu {

inline std::int64_t round_up(std::int64_t value, std::int64_t step) { return (value + step - 1) / step * step; }
inline std::int64_t ceil_divide(std::int64_t value, std::int64_t step) { return (value + step - 1) / step; }

/// Returns work(); turns a failed allocation into an OutOfMemory with the bytes that the section needs.
template <class Work>
auto with_memory(std::int64_t bytes, Work&& work) {
  const auto out_of_memory = [bytes] {
    return OutOfMemory(message("section_losses", "received a section that needs ", bytes,
                               " bytes, expected that much free memory; use fewer samples or f32"),
                       bytes);
  };
  try {
    return work();
  } catch (const std::bad_alloc&) {
    throw out_of_memory();
  } catch (const std::length_error&) {
    throw out_of_memory();
  }
}

/// Number of weights and biases in the layers.
inline std::int64_t count_values(std::span<const ChainLayer> layers) {
  std::int64_t sum = 0;
  for (const ChainLayer& layer : layers) sum += static_cast<std::int64_t>(layer.weights.size() + layer.biases.size());
  return sum;
}

/// `size` values, aligned to a cache line; throws std::bad_alloc.
template <class T>
class AlignedBuffer {
 public:
  AlignedBuffer() = default;
  explicit AlignedBuffer(std::int64_t size)
      : size_(size), data_(static_cast<T*>(::operator new(sizeof(T) * static_cast<std::size_t>(size), kAlign))) {
    prefer_large_pages(data_, sizeof(T) * static_cast<std::size_t>(size));
  }
  static AlignedBuffer zeroed(std::int64_t size) {
    AlignedBuffer buffer(size);
    std::fill_n(buffer.data(), size, T(0));
    return buffer;
  }
  ~AlignedBuffer() { ::operator delete(data_, kAlign); }
  AlignedBuffer(AlignedBuffer&& other) noexcept
      : size_(std::exchange(other.size_, 0)), data_(std::exchange(other.data_, nullptr)) {}
  AlignedBuffer& operator=(AlignedBuffer&& other) noexcept {
    std::swap(size_, other.size_);
    std::swap(data_, other.data_);
    return *this;
  }

  T* data() { return data_; }
  const T* data() const { return data_; }
  std::int64_t size() const { return size_; }

 private:
  static constexpr std::align_val_t kAlign{64};
  std::int64_t size_ = 0;
  T* data_ = nullptr;
};

/// Number of units when the last panel of `out` units is padded.
template <class T>
std::int64_t padded_units(const SectionKernels<T>& kernels, std::int64_t out) {
  const std::int64_t full = out / kernels.panel * kernels.panel;
  return full + round_up(out - full, kernels.step);
}

/// Packs W (out, in), row-major, into panels (in, units); `packed` holds padded_units(out)·in values.
template <class T>
void pack_weights(const SectionKernels<T>& kernels, const double* weights, std::int64_t out, std::int64_t in,
                  const Control& control, T* packed) {
  const std::int64_t padded = padded_units(kernels, out);
  for (std::int64_t first = 0; first < out; first += kernels.panel) {
    check_stop(control);
    const std::int64_t units = std::min(kernels.panel, padded - first);
    std::fill_n(packed + first * in, units * in, T(0));
    for (std::int64_t u = 0; u < std::min(units, out - first); ++u) {
      const double* row = weights + (first + u) * in;
      for (std::int64_t k = 0; k < in; ++k) packed[first * in + k * units + u] = static_cast<T>(row[k]);
    }
  }
}

/// Sets `chosen` to α_d for the directions d.
template <class T>
void choose(std::span<const T> alpha, const std::vector<std::int32_t>& directions, std::vector<T>& chosen) {
  chosen.clear();
  for (const std::int32_t d : directions) chosen.push_back(alpha[static_cast<std::size_t>(d)]);
}

/// A layer of a plan with each of its parts (θ₀ and every direction that moves it) packed.
template <class T>
class PackedParts {
 public:
  PackedParts(const SectionKernels<T>& kernels, const ChainLayer& layer, const Control& control)
      : in_(layer.in),
        out_(layer.out),
        activation_(layer.activation),
        weight_directions_(layer.weight_directions),
        bias_directions_(layer.bias_directions) {
    const std::int64_t padded = padded_units(kernels, out_);
    const auto weight_parts = 1 + static_cast<std::int64_t>(weight_directions_.size());
    const auto bias_parts = 1 + static_cast<std::int64_t>(bias_directions_.size());
    weight_size_ = round_up(padded * in_, kernels.rows);
    bias_size_ = round_up(padded, kernels.rows);
    weights_ = AlignedBuffer<T>(weight_parts * weight_size_);
    biases_ = AlignedBuffer<T>::zeroed(bias_parts * bias_size_);
    for (std::int64_t part = 0; part < weight_parts; ++part) {
      T* packed = weights_.data() + part * weight_size_;
      pack_weights(kernels, layer.weights.data() + part * out_ * in_, out_, in_, control, packed);
      std::fill(packed + padded * in_, packed + weight_size_, T(0));
    }
    for (std::int64_t part = 0; !layer.biases.empty() && part < bias_parts; ++part) {
      const double* bias = layer.biases.data() + part * out_;
      std::transform(bias, bias + out_, biases_.data() + part * bias_size_, [](double b) { return static_cast<T>(b); });
    }
  }

  std::int64_t in() const { return in_; }
  std::int64_t out() const { return out_; }
  bool shared() const { return weight_directions_.empty() && bias_directions_.empty(); }
  /// Values of scratch memory that form() needs.
  std::int64_t scratch() const { return shared() ? 0 : weight_size_ + bias_size_; }

  /// The layer at θ₀.
  PackedLayer<T> origin() const { return {in_, out_, activation_, weights_.data(), biases_.data()}; }
  /// W_part alone: linear, without a bias (the layer has no bias parts).
  PackedLayer<T> part(std::int64_t index) const {
    return {in_, out_, Activation::identity, weights_.data() + index * weight_size_, biases_.data()};
  }
  /// The layer at α (z), formed in `scratch` if it moves; `chosen` is working memory for a part of α.
  PackedLayer<T> form(const SectionKernels<T>& kernels, std::span<const T> alpha, std::vector<T>& chosen,
                      T* scratch) const {
    if (shared()) return origin();
    choose(alpha, weight_directions_, chosen);
    kernels.form(weights_.data(), static_cast<std::int64_t>(chosen.size()), weight_size_, chosen.data(), scratch);
    choose(alpha, bias_directions_, chosen);
    kernels.form(biases_.data(), static_cast<std::int64_t>(chosen.size()), bias_size_, chosen.data(),
                 scratch + weight_size_);
    return {in_, out_, activation_, scratch, scratch + weight_size_};
  }

 private:
  std::int64_t in_;
  std::int64_t out_;
  Activation activation_;
  std::vector<std::int32_t> weight_directions_;
  std::vector<std::int32_t> bias_directions_;
  std::int64_t weight_size_ = 0;
  std::int64_t bias_size_ = 0;
  AlignedBuffer<T> weights_;  ///< (1 + |weight_directions|, weight_size_)
  AlignedBuffer<T> biases_;   ///< (1 + |bias_directions|, bias_size_)
};

}  // namespace lossatlas::cpu
