// Peak rates of the multiprocessors: products, multiply-adds and tanh in registers, with nothing else running.
#pragma once

#include <cstdint>

#include <cuda_runtime_api.h>
#include <lossatlas/precision.hpp>

namespace lossatlas::kernels {

/// Rounds of identical work on every multiprocessor.
struct RateRun {
  std::int64_t multiprocessors = 1;
  std::int64_t rounds = 1;
  double* out = nullptr;  ///< (rate_threads(multiprocessors)): results, which keep the work from being optimised away
};
std::int64_t rate_threads(std::int64_t multiprocessors);

/// Products on the tensor cores, as the sections of a precision make them.
cudaError_t launch_products(Precision precision, const RateRun& run, cudaStream_t stream);
double products_flop(std::int64_t multiprocessors);  ///< per round; in f32 those of the result

/// Multiply-adds in ordinary arithmetic: in f64 for f64, else in f32.
cudaError_t launch_multiply_adds(Precision precision, const RateRun& run, cudaStream_t stream);
double multiply_adds_flop(std::int64_t multiprocessors);

/// tanh as the sections of a precision compute it.
cudaError_t launch_tanh(Precision precision, const RateRun& run, cudaStream_t stream);
double tanh_count(std::int64_t multiprocessors);

}  // namespace lossatlas::kernels
