// Blocks of a Hessian as products of factors generated on the fly, on the fp64 tensor cores: no factor ever reaches
// global memory.
//
// A Source has
//   HessianBlock block;
//   depth(): the number of terms in every entry's sum;
//   groups(), group_rows(): the rows of the block, cut into groups of equal size that no tile straddles;
//   left(row): a function of the term, for a row of the block;
//   right(group, column): the same for a column; it may depend on the row's group.
#pragma once

#include <cstdint>

#include <cuda_runtime.h>
#include <device/intrinsics.cuh>
#include <device/launch.cuh>
#include <device/shared.cuh>

#include "hessian.hpp"

namespace lossatlas::kernels {

inline constexpr int kTerms = 16;         // per stage
inline constexpr int kTileColumns = 128;  // per thread block
inline constexpr int kWarpColumns = 32;
inline constexpr int kFragmentColumns = 8;
inline constexpr int kPad = 4;  // makes the four members of a group read four different banks

/// How a tile of kRows rows is divided among warps.
template <int kRows>
struct TileShape {
  static constexpr int kWarpRows = kRows < 32 ? kRows : kRows > 64 ? 64 : 32;
  static constexpr int kFragments = kWarpRows / 16;
  static constexpr int kWarpsAcross = kTileColumns / kWarpColumns;
  static constexpr int kThreads = 32 * kWarpsAcross * (kRows / kWarpRows);
};

template <int kRows>
struct FactorStage {
  double left[kTerms][kRows + kPad];
  double right[kTerms][kTileColumns + kPad];
};

/// The part of a block that one thread block computes, in rows and columns of the block.
struct ProductTile {
  std::int64_t group;
  std::int64_t first_row, last_row;
  std::int64_t first_column, last_column;
};

template <int kRows, class Source>
__device__ ProductTile tile_of(const Source& source, std::int64_t index) {
  const std::int64_t columns = source.block.right.parameters(), group_rows = source.group_rows();
  const std::int64_t across = (columns + kTileColumns - 1) / kTileColumns, down = (group_rows + kRows - 1) / kRows;
  ProductTile tile;
  tile.first_column = index % across * kTileColumns;
  tile.last_column = min(tile.first_column + kTileColumns, columns);
  const std::int64_t row_tile = index / across;
  tile.group = row_tile / down;
  tile.first_row = tile.group * group_rows + row_tile % down * kRows;
  tile.last_row = min(tile.first_row + kRows, (tile.group + 1) * group_rows);
  return tile;
}

/// sums += leftᵀ right over one stage, for the warp's rows and columns, which begin at `row` and `column` of the tile.
template <int kRows>
__device__ void multiply_stage(const FactorStage<kRows>& stage, int row, int column,
                               double (&sums)[TileShape<kRows>::kFragments][kWarpColumns / kFragmentColumns][4]) {
  constexpr int kFragments = TileShape<kRows>::kFragments;
  const int lane = static_cast<int>(threadIdx.x) % 32, group = lane / 4, member = lane % 4;
  double b[kWarpColumns / kFragmentColumns][4];
#pragma unroll
  for (int c = 0; c < kWarpColumns / kFragmentColumns; ++c) {
#pragma unroll
    for (int i = 0; i < 4; ++i) b[c][i] = stage.right[member + 4 * i][column + kFragmentColumns * c + group];
  }
#pragma unroll
  for (int m = 0; m < kFragments; ++m) {
    double a[8];
#pragma unroll
    for (int i = 0; i < 8; ++i) a[i] = stage.left[member + 4 * (i / 2)][row + 16 * m + group + 8 * (i % 2)];
#pragma unroll
    for (int c = 0; c < kWarpColumns / kFragmentColumns; ++c) device::mma_m16n8k16(sums[m][c], a, b[c]);
  }
}

/// Adds the warp's sums to the upper triangle. A diagonal block keeps only entries with row ≤ column: each unordered
/// pair once.
template <int kRows>
__device__ void add_sums(const HessianBlock& block, const ProductTile& tile, std::int64_t row, std::int64_t column,
                         const double (&sums)[TileShape<kRows>::kFragments][kWarpColumns / kFragmentColumns][4]) {
  const int lane = static_cast<int>(threadIdx.x) % 32, group = lane / 4, member = lane % 4;
#pragma unroll
  for (int c = 0; c < kWarpColumns / kFragmentColumns; ++c) {
#pragma unroll
    for (int odd = 0; odd < 2; ++odd) {
      const std::int64_t to = column + kFragmentColumns * c + 2 * member + odd;
      if (to >= tile.last_column) continue;
      const std::int64_t right = block.right.at(to);
#pragma unroll
      for (int m = 0; m < TileShape<kRows>::kFragments; ++m) {
#pragma unroll
        for (int half = 0; half < 2; ++half) {
          const std::int64_t from = row + 16 * m + group + 8 * half;
          if (from >= tile.last_row || (block.diagonal() && from > to)) continue;
          const std::int64_t left = block.left.at(from);
          block.hessian[min(left, right) * block.size + max(left, right)] += sums[m][c][2 * half + odd];
        }
      }
    }
  }
}

// Block b computes tile b. Each thread generates the factors of one row and one column of it, one stage ahead of the
// products.
template <class Source, int kRows>
__global__ void __launch_bounds__(TileShape<kRows>::kThreads) add_products(const Source source) {
  using Shape = TileShape<kRows>;
  constexpr int kThreads = Shape::kThreads;
  auto* stages = device::dynamic_shared<FactorStage<kRows>>();
  const ProductTile tile = tile_of<kRows>(source, blockIdx.x);
  if (source.block.diagonal() && tile.last_column <= tile.first_row) return;

  const int thread = static_cast<int>(threadIdx.x), warp = thread / 32;
  const int my_row = thread % kRows, left_term = thread / kRows;
  const int my_column = thread % kTileColumns, right_term = thread / kTileColumns;
  const bool has_row = tile.first_row + my_row < tile.last_row;
  const bool has_column = tile.first_column + my_column < tile.last_column;
  const auto left = source.left(has_row ? tile.first_row + my_row : tile.first_row);
  const auto right = source.right(tile.group, has_column ? tile.first_column + my_column : tile.first_column);
  const int row = warp / Shape::kWarpsAcross * Shape::kWarpRows;
  const int column = warp % Shape::kWarpsAcross * kWarpColumns;
  const bool works = tile.first_row + row < tile.last_row && tile.first_column + column < tile.last_column &&
                     !(source.block.diagonal() && tile.first_column + column + kWarpColumns <= tile.first_row + row);

  // Of two warps on one scheduler, one fetches while the other multiplies.
  const bool fills_first = warp / 4 % 2 == 0;
  const std::int64_t depth = source.depth(), stage_count = (depth + kTerms - 1) / kTerms;
  const auto fill = [&](std::int64_t stage) {
    FactorStage<kRows>& shared = stages[stage % 2];
    const std::int64_t begin = stage * kTerms;
#pragma unroll 4
    for (int t = left_term; t < kTerms; t += kThreads / kRows) {
      shared.left[t][my_row] = has_row && begin + t < depth ? left(begin + t) : 0.0;
    }
#pragma unroll 4
    for (int t = right_term; t < kTerms; t += kThreads / kTileColumns) {
      shared.right[t][my_column] = has_column && begin + t < depth ? right(begin + t) : 0.0;
    }
  };
  double sums[Shape::kFragments][kWarpColumns / kFragmentColumns][4] = {};
  fill(0);
  __syncthreads();  // the first stage is filled
  for (std::int64_t stage = 0; stage < stage_count; ++stage) {
    const bool more = stage + 1 < stage_count;
    if (more && fills_first) fill(stage + 1);
    if (works) multiply_stage<kRows>(stages[stage % 2], row, column, sums);
    if (more && !fills_first) fill(stage + 1);
    __syncthreads();  // this stage has been read, the next one is filled
  }
  if (works) add_sums<kRows>(source.block, tile, tile.first_row + row, tile.first_column + column, sums);
}

template <int kRows, class Source>
cudaError_t launch_product_tiles(const Source& source, cudaStream_t stream) {
  const std::int64_t across = (source.block.right.parameters() + kTileColumns - 1) / kTileColumns;
  const std::int64_t blocks = source.groups() * ((source.group_rows() + kRows - 1) / kRows) * across;
  return device::launch(
      add_products<Source, kRows>,
      {dim3(static_cast<unsigned>(blocks)), dim3(TileShape<kRows>::kThreads), 2 * sizeof(FactorStage<kRows>), stream},
      source);
}

/// Chooses tiles that fit the groups.
template <class Source>
cudaError_t launch_add_products(const Source& source, cudaStream_t stream) {
  switch (tile_rows(source.group_rows())) {
    case 16:
      return launch_product_tiles<16>(source, stream);
    case 32:
      return launch_product_tiles<32>(source, stream);
    case 64:
      return launch_product_tiles<64>(source, stream);
    default:
      return launch_product_tiles<128>(source, stream);
  }
}

}  // namespace lossatlas::kernels
