#include "tensor_stream_launch.cuh"

namespace lossatlas::kernels {

template <>
StreamLayout stream_layout(const TensorStream<double>& problem, StreamRows rows, const StreamLayer* layers,
                           std::int64_t shared_limit) {
  return first_layout<false>(problem, rows, layers, shared_limit);
}

template <>
cudaError_t launch_tensor_stream(const TensorStream<double>& problem, const StreamLayout& layout, cudaStream_t stream) {
  return launch_samples<false>(problem, layout, stream);
}

}  // namespace lossatlas::kernels
