// Which points of a batch have to be computed again, and their rows.
#pragma once

#include <cstdint>

#include <cuda_runtime_api.h>

namespace lossatlas::kernels {

/// Bytes of device memory that compact_flagged() works in.
std::int64_t compaction_workspace(std::int64_t points);
/// Writes the points whose entry in flags (points) is not 0 to chosen (count), ascending; waits for the stream.
cudaError_t compact_flagged(const std::int32_t* flags, std::int64_t points, void* workspace, std::int32_t* chosen,
                            std::int64_t* count, cudaStream_t stream);

/// to (count, width): row i is row chosen[i] of from.
cudaError_t launch_gather_rows(const double* from, const std::int32_t* chosen, std::int64_t count, std::int64_t width,
                               double* to, cudaStream_t stream);
/// Row chosen[i] of `to` becomes row i of from (count, width).
cudaError_t launch_scatter_rows(const double* from, const std::int32_t* chosen, std::int64_t count, std::int64_t width,
                                double* to, cudaStream_t stream);

}  // namespace lossatlas::kernels
