#include "tensor_stream_launch.cuh"

namespace lossatlas::kernels {

template <>
StreamLayout stream_layout(const TensorStream<float>& problem, StreamRows rows, const StreamLayer* layers,
                           std::int64_t shared_limit) {
  return problem.operands == Operands::half ? first_layout<true>(problem, rows, layers, shared_limit)
                                            : first_layout<false>(problem, rows, layers, shared_limit);
}

template <>
cudaError_t launch_tensor_stream(const TensorStream<float>& problem, const StreamLayout& layout, cudaStream_t stream) {
  return problem.operands == Operands::half ? launch_samples<true>(problem, layout, stream)
                                            : launch_samples<false>(problem, layout, stream);
}

}  // namespace lossatlas::kernels
