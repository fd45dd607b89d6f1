// Files of section runs from the JSON of their header, and a section whose losses are a formula.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "file/checksum.hpp"
#include "fuzzing.hpp"
#include "section_file/run_header.hpp"
#include "section_file/stream.hpp"

namespace lossatlas::testing {

/// A header with this JSON and the checksum of it, as encode() lays them out.
inline std::string run_header_bytes(std::string_view magic, std::string_view json) {
  std::string text = std::string(magic) + little(std::uint64_t{json.size()}).append(json);
  return text + little(Checksum().add(std::as_bytes(std::span(text))).value());
}

/// What the JSON says; nothing when it is refused.
inline std::optional<RunHeader> run_header(std::string_view json) {
  const std::string bytes = run_header_bytes(kShardMagic, json);
  const auto decoded = accepted([&] {
    return decode_run_header(bytes, kShardMagic, {"tried", "decode_run_header"}).value();
  });
  return decoded ? std::optional(decoded->header) : std::nullopt;
}

/// losses (count, heads): distinct, some of them not finite.
inline std::vector<double> formula_losses(std::int64_t first, std::int64_t count, std::int64_t heads) {
  std::vector<double> losses;
  for (std::int64_t k = first * heads; k < (first + count) * heads; ++k) {
    losses.push_back(k % 5 == 3 ? std::numeric_limits<double>::infinity() : 0.25 * static_cast<double>(k));
  }
  return losses;
}

/// 4 x 3 points, two heads.
inline TileSource formula_source() {
  TileSource source;
  source.identity = {{"model", "formula", 17}, {"precision", "f64", 18}};
  source.grid = Grid::unit({4, 3});
  source.heads = 2;
  source.point_bytes = [] { return std::int64_t{1}; };
  source.evaluate = [](std::int64_t first, std::int64_t count, const Control&, std::span<double> losses) {
    std::ranges::copy(formula_losses(first, count, 2), losses.begin());
  };
  return source;
}

}  // namespace lossatlas::testing
