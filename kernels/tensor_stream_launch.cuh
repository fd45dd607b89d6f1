// Chooses the tile of a block of the streaming kernel, and launches it.
#pragma once

#include <algorithm>

#include <device/launch.cuh>

#include "tensor_stream.cuh"

namespace lossatlas::kernels {

template <class Tile, class T>
StreamLayout layout_of(const TensorStream<T>& problem, StreamRows rows, const StreamLayer* layers,
                       std::int64_t shared_limit) {
  using Shape = typename Tile::Shape;
  using A = typename Shape::Arithmetic;
  const PairLosses<T>& pairs = problem.pairs;
  StreamLayout layout;
  std::int64_t arena = activation_bytes<Shape>(layers[0].blocks);
  for (std::int32_t l = 0; l < pairs.depth; ++l) {
    const bool hidden = l + 1 < pairs.depth;
    const std::int64_t in = activation_bytes<Shape>(layers[l].blocks);
    const std::int64_t out = hidden ? activation_bytes<Shape>(layers[l].tiles / 2) : output_bytes<Shape>(layers[l].out);
    const bool in_place = single_pass<Shape>(layers[l].tiles, hidden);
    arena = std::max(arena, in_place ? std::max(in, out) : in + out);
    layout.in_place = layout.in_place && (in_place || !hidden);
  }
  if (Tile::kSampleFragments > 1 && Tile::kSamples / 2 >= pairs.samples) return {};  // most rows would repeat a sample
  const auto aligned = [](std::int64_t bytes) { return (bytes + 15) / 16 * 16; };
  const std::int64_t maxima = aligned(8 * pairs.heads * (Tile::kPoints + Shape::kRows / 8));
  const std::int64_t biases = maxima + (A::kChecksRange ? aligned(4 * (2 * Shape::kRows + Tile::kPoints)) : 0);
  const std::int64_t alpha = biases + aligned(static_cast<std::int64_t>(sizeof(T)) * problem.bias_values);
  const std::int64_t begin = alpha + aligned(static_cast<std::int64_t>(sizeof(T)) * Tile::kPoints * pairs.moving);
  // The last group of a layer may read fragments past its end, for sums that nobody stores.
  const std::int64_t fragments = problem.fixed_fragments + problem.moving_fragments + Shape::kGroup - 1;
  const std::int64_t all = fragments * kFragmentWeights * static_cast<std::int64_t>(sizeof(typename A::Weight));
  const bool of_samples = rows == StreamRows::samples;
  const std::int64_t slot = SampleSource<Tile>::slot_bytes();
  const std::int64_t least = of_samples ? SampleSource<Tile>::kLeastSlots * slot : 0;
  layout.resident = begin + arena + all + least <= shared_limit;
  const std::int64_t samples = begin + arena + (layout.resident ? all : Shape::queue_bytes());
  if (samples + least > shared_limit) return {};
  // As many slots as fit, up to all pieces of the next tile.
  const std::int64_t pieces = of_samples ? SampleSource<Tile>::pieces(layers[0].blocks, 1 + pairs.moving) : 0;
  const std::int64_t slots = std::min((shared_limit - samples) / slot, pieces);
  layout.slots = static_cast<std::int32_t>(slots);
  layout.bytes = samples + slots * slot;
  layout.shape = 0;
  layout.points = Tile::kPoints;
  layout.maxima = static_cast<std::int32_t>(maxima);
  layout.biases = static_cast<std::int32_t>(biases);
  layout.alpha = static_cast<std::int32_t>(alpha);
  layout.arena = static_cast<std::int32_t>(begin);
  layout.arena_bytes = static_cast<std::int32_t>(arena);
  layout.weights = static_cast<std::int32_t>(begin + arena);
  layout.samples = static_cast<std::int32_t>(samples);
  return layout;
}

// The first shape that takes the layers in place, or else the first that takes them at all.
template <bool kHalf, class T>
StreamLayout first_layout(const TensorStream<T>& problem, StreamRows rows, const StreamLayer* layers,
                          std::int64_t shared_limit) {
  StreamLayout found;
  std::int32_t number = 0;
  StreamShapes<T, kHalf>::each([&](auto shape) {
    using Shape = decltype(shape);
    StreamLayout layout;
    if (problem.shared) layout = layout_of<SharedPoints<Shape>>(problem, rows, layers, shared_limit);
    if (layout.shape < 0) layout = layout_of<OnePoint<Shape>>(problem, rows, layers, shared_limit);
    if (layout.shape == 0 && (found.shape < 0 || (!found.in_place && layout.in_place))) {
      layout.shape = number;
      found = layout;
    }
    ++number;
  });
  return found;
}

// Launches kernel(shape).
template <bool kHalf, class T, class Kernel>
cudaError_t launch_shape(const TensorStream<T>& problem, const StreamLayout& layout, cudaStream_t stream,
                         const Kernel& kernel) {
  const PairLosses<T>& pairs = problem.pairs;
  const std::int64_t groups = (pairs.chunks + pairs.block_chunks - 1) / pairs.block_chunks;
  const std::int64_t points = (pairs.points + layout.points - 1) / layout.points;
  cudaError_t status = cudaErrorInvalidValue;
  std::int32_t number = 0;
  StreamShapes<T, kHalf>::each([&](auto shape) {
    if (number++ != layout.shape) return;
    status = device::launch(kernel(shape),
                            {dim3(static_cast<unsigned>(groups), static_cast<unsigned>(points)),
                             dim3(decltype(shape)::kThreads), static_cast<std::size_t>(layout.bytes), stream},
                            problem, layout);
  });
  return status;
}

template <bool kHalf, class T>
cudaError_t launch_samples(const TensorStream<T>& problem, const StreamLayout& layout, cudaStream_t stream) {
  return launch_shape<kHalf>(problem, layout, stream, [&](auto shape) {
    using Shape = decltype(shape);
    return layout.points > 1 ? tensor_stream<SharedPoints<Shape>> : tensor_stream<OnePoint<Shape>>;
  });
}

}  // namespace lossatlas::kernels
