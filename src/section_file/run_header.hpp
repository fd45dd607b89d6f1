// What a file of losses was computed from: written at the start of a journal and of a shard, and compared before
// anything else in them is used.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <lossatlas/grid.hpp>

#include "file/file_context.hpp"

namespace lossatlas {

/// One thing that the bits of the losses depend on.
struct IdentityPart {
  std::string name;        ///< "model", "data", "precision", ...
  std::string text;        ///< for messages
  std::uint64_t hash = 0;  ///< of the whole content
};

inline constexpr std::int64_t kMostAxes = 63;  ///< of a grid: NumPy's 64, less one for the heads

struct RunHeader {
  std::vector<IdentityPart> identity;
  Grid grid;
  std::int64_t heads = 1;
  std::int64_t shard = 0;  ///< this file holds part `shard` of `shards`; 0 of 0: no shard
  std::int64_t shards = 0;
  std::int64_t tile_points = 1;
};

/// How `ours` differs from `theirs`, such as "precision f32 instead of f64, another model"; empty when they agree.
std::string differences(const std::vector<IdentityPart>& ours, const std::vector<IdentityPart>& theirs);

inline constexpr std::size_t kMagicSize = 16;
inline constexpr std::size_t kMostHeaderBytes = std::size_t{1} << 16;

/// Encodes magic (kMagicSize characters), length, JSON and checksum: a multiple of 64 bytes. Throws FileError if that
/// is more than kMostHeaderBytes.
std::string encode(const RunHeader& header, std::string_view magic, const FileContext& context);

struct DecodedHeader {
  RunHeader header;
  std::int64_t bytes = 0;  ///< of the encoded header
};

/// Decodes the start of a file, up to kMostHeaderBytes of it; nullopt if it ends before the header does. Throws
/// FileError on another magic or on damage.
std::optional<DecodedHeader> decode_run_header(std::string_view start, std::string_view magic,
                                               const FileContext& context);

}  // namespace lossatlas
