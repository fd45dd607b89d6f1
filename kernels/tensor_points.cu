#include "tensor_stream_launch.cuh"

namespace lossatlas::kernels {

template <class T>
cudaError_t launch_tensor_points(const TensorStream<T>& problem, const StreamLayout& layout, cudaStream_t stream) {
  return launch_shape<false>(problem, layout, stream, [](auto shape) { return tensor_points<decltype(shape)>; });
}

template cudaError_t launch_tensor_points(const TensorStream<float>&, const StreamLayout&, cudaStream_t);
template cudaError_t launch_tensor_points(const TensorStream<double>&, const StreamLayout&, cudaStream_t);

}  // namespace lossatlas::kernels
