// One instruction each, its fragments addressed by the formulas of the PTX ISA. Ordinary CUDA without the emulator's
// own calls: on a GPU it pins the emulator's layouts to the hardware's.
#include <cooperative_groups.h>
#include <gtest/gtest.h>

#include <device/intrinsics.cuh>
#include <device/launch.cuh>
#include <device/shared.cuh>

#include "device_memory.hpp"

namespace {

constexpr int kN = 8;  // columns of B and D in every shape

// D (M×8) = A (M×K) B (K×8) + C, all row-major; one warp.

__global__ void multiply_8x8x4(const double* a, const double* b, const double* c, double* out) {
  const int lane = threadIdx.x, group = lane / 4, member = lane % 4;
  double d[2];
  for (int i = 0; i < 2; ++i) d[i] = c[group * kN + 2 * member + i];
  lossatlas::device::mma_m8n8k4(d, a[group * 4 + member], b[member * kN + group]);
  for (int i = 0; i < 2; ++i) out[group * kN + 2 * member + i] = d[i];
}

__global__ void multiply_16x8x16(const double* a, const double* b, const double* c, double* out) {
  const int lane = threadIdx.x, group = lane / 4, member = lane % 4;
  double fa[8], fb[4], d[4];
  for (int i = 0; i < 8; ++i) fa[i] = a[(group + 8 * (i % 2)) * 16 + member + 4 * (i / 2)];
  for (int i = 0; i < 4; ++i) fb[i] = b[(member + 4 * i) * kN + group];
  for (int i = 0; i < 4; ++i) d[i] = c[(group + 8 * (i / 2)) * kN + 2 * member + i % 2];
  lossatlas::device::mma_m16n8k16(d, fa, fb);
  for (int i = 0; i < 4; ++i) out[(group + 8 * (i / 2)) * kN + 2 * member + i % 2] = d[i];
}

__global__ void multiply_tf32(const float* a, const float* b, const float* c, float* out) {
  const int lane = threadIdx.x, group = lane / 4, member = lane % 4;
  std::uint32_t fa[4], fb[2];
  float d[4];
  for (int i = 0; i < 4; ++i) {
    fa[i] = lossatlas::device::to_tf32(a[(group + 8 * (i % 2)) * 8 + member + 4 * (i / 2)]);
  }
  for (int i = 0; i < 2; ++i) fb[i] = lossatlas::device::to_tf32(b[(member + 4 * i) * kN + group]);
  for (int i = 0; i < 4; ++i) d[i] = c[(group + 8 * (i / 2)) * kN + 2 * member + i % 2];
  lossatlas::device::mma_m16n8k8_tf32(d, fa, fb);
  for (int i = 0; i < 4; ++i) out[(group + 8 * (i / 2)) * kN + 2 * member + i % 2] = d[i];
}

__global__ void multiply_half(const float* a, const float* b, const float* c, float* out) {
  const int lane = threadIdx.x, group = lane / 4, member = lane % 4;
  std::uint32_t fa[4], fb[2];
  float d[4];
  for (int i = 0; i < 4; ++i) {
    const float* pair = a + (group + 8 * (i % 2)) * 16 + 2 * member + 8 * (i / 2);
    fa[i] = lossatlas::device::pack_half(pair[0], pair[1]);
  }
  for (int i = 0; i < 2; ++i) {
    const float* pair = b + (2 * member + 8 * i) * kN + group;
    fb[i] = lossatlas::device::pack_half(pair[0], pair[kN]);
  }
  for (int i = 0; i < 4; ++i) d[i] = c[(group + 8 * (i / 2)) * kN + 2 * member + i % 2];
  lossatlas::device::mma_m16n8k16_half(d, fa, fb);
  for (int i = 0; i < 4; ++i) out[(group + 8 * (i / 2)) * kN + 2 * member + i % 2] = d[i];
}

/// Operands are multiples of 1/8 in [-1, 1], exact in every format and so are all sums: the result must be too.
template <class T>
std::vector<T> eighths(std::size_t count, unsigned seed) {
  std::vector<T> values = uniform<T>(count, seed);
  for (T& value : values) value = std::round(8 * value) / 8;
  return values;
}

template <class T>
void expect_product(void (*kernel)(const T*, const T*, const T*, T*), int m, int k) {
  const auto a = eighths<T>(static_cast<std::size_t>(m * k), 1), b = eighths<T>(static_cast<std::size_t>(k * kN), 2);
  const auto c = eighths<T>(static_cast<std::size_t>(m * kN), 3);
  const DeviceVector<T> da(a), db(b), dc(c), out(static_cast<std::size_t>(m * kN));
  ASSERT_EQ(lossatlas::device::launch(kernel, {dim3(1), dim3(32)}, static_cast<const T*>(da.get()),
                                      static_cast<const T*>(db.get()), static_cast<const T*>(dc.get()), out.get()),
            cudaSuccess);
  std::vector<T> want = c;
  for (int i = 0; i < m; ++i) {
    for (int j = 0; j < kN; ++j) {
      for (int l = 0; l < k; ++l) {
        want[static_cast<std::size_t>(i * kN + j)] +=
            a[static_cast<std::size_t>(i * k + l)] * b[static_cast<std::size_t>(l * kN + j)];
      }
    }
  }
  EXPECT_EQ(out.read(), want);
}

TEST(Fragments, Double8x8x4) { expect_product(multiply_8x8x4, 8, 4); }
TEST(Fragments, Double16x8x16) { expect_product(multiply_16x8x16, 16, 16); }
TEST(Fragments, Tf32) { expect_product(multiply_tf32, 16, 8); }
TEST(Fragments, Half) { expect_product(multiply_half, 16, 16); }

/// Sums in float of positive terms: never above the exact sum, as tensor cores truncate, and below it by no more than a
/// last place of the sum for each term and one for the result, as they may align terms to the largest.
void expect_truncated_sum(void (*kernel)(const float*, const float*, const float*, float*), int k) {
  constexpr int kM = 16;
  const auto positive = [](std::size_t count, unsigned seed) {
    std::vector<float> values = uniform<float>(count, seed);
    for (float& value : values) value = std::fmax(std::fabs(std::round(1024 * value)), 1.0f) / 1024;
    return values;
  };
  const auto a = positive(static_cast<std::size_t>(kM * k), 4), b = positive(static_cast<std::size_t>(k * kN), 5);
  std::vector<float> c = positive(kM * kN, 6);
  for (float& value : c) value *= 1 + 0x1p-13f;
  const DeviceVector<float> da(a), db(b), dc(c), out(c.size());
  ASSERT_EQ(
      lossatlas::device::launch(kernel, {dim3(1), dim3(32)}, static_cast<const float*>(da.get()),
                                static_cast<const float*>(db.get()), static_cast<const float*>(dc.get()), out.get()),
      cudaSuccess);
  const std::vector<float> got = out.read();
  for (std::size_t i = 0; i < c.size(); ++i) {
    double exact = c[i];
    for (int l = 0; l < k; ++l) {
      exact += static_cast<double>(a[i / kN * static_cast<std::size_t>(k) + static_cast<std::size_t>(l)]) *
               b[static_cast<std::size_t>(l * kN) + i % kN];
    }
    EXPECT_LE(got[i], exact);
    EXPECT_GE(got[i], exact * (1 - (k + 2) * 0x1p-23));
  }
}

TEST(Fragments, Tf32SumsAreTruncated) { expect_truncated_sum(multiply_tf32, 8); }
TEST(Fragments, HalfSumsAreTruncated) { expect_truncated_sum(multiply_half, 16); }

__global__ void round_values(const float* x, float* tf32, std::uint32_t* half) {
  tf32[threadIdx.x] = __uint_as_float(lossatlas::device::to_tf32(x[threadIdx.x]));
  half[threadIdx.x] = lossatlas::device::pack_half(x[threadIdx.x], -x[threadIdx.x]);
}

TEST(Fragments, RoundsToTf32AndHalf) {
  const std::vector<float> x{1 + 0x1p-11f, 1 + 0x1p-12f, 1 + 3 * 0x1p-11f, 65520.0f, 0x1p-25f, 0x1p-24f};
  const DeviceVector<float> dx(x), tf32(x.size());
  const DeviceVector<std::uint32_t> half(x.size());
  ASSERT_EQ(lossatlas::device::launch(round_values, {dim3(1), dim3(static_cast<unsigned>(x.size()))},
                                      static_cast<const float*>(dx.get()), tf32.get(), half.get()),
            cudaSuccess);
  // TF32 has 10 bits after the point, ties away from zero; half too, ties to even, infinite from 65520, subnormal.
  EXPECT_EQ(tf32.read(), (std::vector<float>{1 + 0x1p-10f, 1, 1 + 0x1p-9f, 65536, 0x1p-25f, 0x1p-24f}));
  EXPECT_EQ(half.read(),
            (std::vector<std::uint32_t>{0xbc003c00, 0xbc003c00, 0xbc023c02, 0xfc007c00, 0x80000000, 0x80010001}));
}

__global__ void approximate_tanh(const float* x, float* y) {
  y[threadIdx.x] = lossatlas::device::tanh_approx(x[threadIdx.x]);
}

TEST(Fragments, ApproximateTanh) {
  std::vector<float> x{0, 1e-6f, -1e-3f, 20, -20, INFINITY, -INFINITY, NAN};
  for (int i = 0; i < 248; ++i) x.push_back(static_cast<float>(i - 124) / 31);
  const DeviceVector<float> dx(x), dy(x.size());
  ASSERT_EQ(lossatlas::device::launch(approximate_tanh, {dim3(1), dim3(static_cast<unsigned>(x.size()))},
                                      static_cast<const float*>(dx.get()), dy.get()),
            cudaSuccess);
  const std::vector<float> y = dy.read();
  float worst = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const float want = std::tanh(x[i]);
    EXPECT_EQ(std::isnan(y[i]), std::isnan(want));
    if (std::isnan(want)) continue;
    EXPECT_LE(std::fabs(y[i] - want), 0x1p-10f * std::fabs(want)) << x[i];
    worst = std::fmax(worst, std::fabs(y[i] - want));
  }
  EXPECT_GT(worst, 0x1p-14f);  // the emulated one is no better than the hardware's
}

/// Two groups in flight of 16, 8 and 4 bytes, the last element of each left out and so zero.
template <int Bytes>
__global__ void copy_groups(const float* x, float* first, float* both) {
  constexpr int kEach = Bytes / 4;
  auto* s = lossatlas::device::dynamic_shared<float>();
  const int own = kEach * threadIdx.x, half = kEach * blockDim.x;
  lossatlas::device::copy_async<Bytes>(s + own, x + own, Bytes - 4);
  lossatlas::device::copy_async_commit();
  lossatlas::device::copy_async<Bytes>(s + half + own, x + half + own);
  lossatlas::device::copy_async_commit();
  lossatlas::device::copy_async_wait<1>();
  for (int i = 0; i < kEach; ++i) first[own + i] = s[own + i];
  lossatlas::device::copy_async_wait<0>();
  for (int i = 0; i < kEach; ++i) both[own + i] = s[half + own + i];
}

template <int Bytes>
void expect_copies() {
  constexpr int kEach = Bytes / 4, kThreads = 32;
  const auto x = uniform<float>(2 * kThreads * kEach, 1);
  const DeviceVector<float> dx(x), first(kThreads * kEach), both(kThreads * kEach);
  ASSERT_EQ(lossatlas::device::launch(copy_groups<Bytes>, {dim3(1), dim3(kThreads), x.size() * sizeof(float)},
                                      static_cast<const float*>(dx.get()), first.get(), both.get()),
            cudaSuccess);
  auto want = x;
  want.resize(kThreads * kEach);
  for (std::size_t i = kEach - 1; i < want.size(); i += kEach) want[i] = 0;
  EXPECT_EQ(first.read(), want);
  EXPECT_EQ(both.read(), std::vector<float>(x.begin() + kThreads * kEach, x.end()));
}

TEST(AsyncCopies, Of4Bytes) { expect_copies<4>(); }
TEST(AsyncCopies, Of8Bytes) { expect_copies<8>(); }
TEST(AsyncCopies, Of16Bytes) { expect_copies<16>(); }

__global__ void warp_operations(int* sums, unsigned* ballots, int* shifted) {
  const int lane = threadIdx.x % 32;
  int sum = threadIdx.x;
  for (int offset = 16; offset > 0; offset /= 2) sum += __shfl_xor_sync(~0u, sum, offset);
  sums[threadIdx.x] = sum;
  ballots[threadIdx.x] = __ballot_sync(~0u, lane % 3 == 0);
  const int down = __shfl_down_sync(~0u, lane, 3, 8), up = __shfl_up_sync(~0u, lane, 3, 8);
  shifted[threadIdx.x] = down * 10000 + up * 100 + __shfl_sync(~0u, lane, 1, 8);
}

TEST(WarpOperations, ShuffleAndVote) {
  const DeviceVector<int> sums(64), shifted(64);
  const DeviceVector<unsigned> ballots(64);
  ASSERT_EQ(lossatlas::device::launch(warp_operations, {dim3(1), dim3(64)}, sums.get(), ballots.get(), shifted.get()),
            cudaSuccess);
  const auto got_sums = sums.read(), got_shifted = shifted.read();
  const auto got_ballots = ballots.read();
  for (int i = 0; i < 64; ++i) {
    const int lane = i % 32, in = lane % 8, base = lane - in;
    EXPECT_EQ(got_sums[static_cast<std::size_t>(i)], i < 32 ? 496 : 496 + 32 * 32);
    EXPECT_EQ(got_ballots[static_cast<std::size_t>(i)], 0x49249249u);
    const int down = in + 3 < 8 ? lane + 3 : lane, up = in >= 3 ? lane - 3 : lane;
    EXPECT_EQ(got_shifted[static_cast<std::size_t>(i)], down * 10000 + up * 100 + base + 1);
  }
}

__global__ void sum_tiles(int* y) {
  const auto tile = cooperative_groups::tiled_partition<8>(cooperative_groups::this_thread_block());
  int sum = threadIdx.x;
  for (int offset = 4; offset > 0; offset /= 2) sum += tile.shfl_down(sum, offset);
  y[threadIdx.x] = tile.shfl(sum, 0);
}

TEST(WarpOperations, CooperativeTiles) {
  const DeviceVector<int> y(64);
  ASSERT_EQ(lossatlas::device::launch(sum_tiles, {dim3(1), dim3(64)}, y.get()), cudaSuccess);
  const auto got = y.read();
  for (int i = 0; i < 64; ++i) EXPECT_EQ(got[static_cast<std::size_t>(i)], i / 8 * 64 + 28);
}

__global__ void histogram(const int* x, int n, int* bins, int* total, double* largest) {
  auto* local = lossatlas::device::dynamic_shared<int>();
  if (threadIdx.x < 8) local[threadIdx.x] = 0;
  __syncthreads();
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) atomicAdd(&local[x[i]], 1);
  const int inside = __syncthreads_count(i < n);
  if (threadIdx.x < 8) atomicAdd(&bins[threadIdx.x], local[threadIdx.x]);
  if (threadIdx.x == 0) atomicAdd(total, inside);
  if (i == 0) *largest = max(1.5, fma(2.0, 3.0, 4.0));
}

TEST(BlockOperations, AtomicsAndCounts) {
  std::vector<int> x(1000);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<int>(i % 8);
  const DeviceVector<int> dx(x), bins(std::vector<int>(8, 0)), total(std::vector<int>{0});
  const DeviceVector<double> largest(1);
  ASSERT_EQ(lossatlas::device::launch(histogram, {dim3(5), dim3(256), 8 * sizeof(int)},
                                      static_cast<const int*>(dx.get()), 1000, bins.get(), total.get(), largest.get()),
            cudaSuccess);
  EXPECT_EQ(bins.read(), std::vector<int>(8, 125));
  EXPECT_EQ(total.read()[0], 1000);
  EXPECT_EQ(largest.read()[0], 10);
}

}  // namespace
