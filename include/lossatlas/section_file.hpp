#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>

#include <lossatlas/export.hpp>
#include <lossatlas/grid.hpp>
#include <lossatlas/landscape.hpp>
#include <lossatlas/progress.hpp>
#include <lossatlas/section.hpp>
#include <lossatlas/surface.hpp>

namespace lossatlas {

/// Part `index`, from 1, of `count` contiguous and nearly equal parts of a grid's points.
struct Shard {
  std::int64_t index = 1;
  std::int64_t count = 1;
};

/// What to do with FILE.partial and FILE.journal of an unfinished run.
///
/// refuse: throw and leave them alone. resume: continue from them, or start from the beginning if there are none. If
/// FILE then is the requested shard, complete, it is verified and kept. An .npy file does not say what it holds, so it
/// is evaluated again and replaced.
enum class Unfinished : std::uint8_t { refuse, resume };

/// Options of write_section().
struct SectionFileOptions {
  EvaluateOptions evaluate = {};
  Unfinished unfinished = Unfinished::refuse;
  std::optional<Shard> shard = std::nullopt;  ///< a file for merge_sections(), also of 1 of 1; otherwise an .npy file
  /// Points per tile; 0: as many as take about a tenth of a second by a short measurement. A resumed run keeps the size
  /// it began with. The bits do not depend on it. A stop does not wait for a tile to end: the landscape heeds it within
  /// the tile, which the resuming run evaluates again.
  std::int64_t tile_points = 0;
};

/// What a file of losses holds, and what this call did.
struct SectionFileReport {
  std::int64_t points = 0;  ///< of the grid; for a shard, of its part
  std::int64_t heads = 1;   ///< H
  Range range;              ///< smallest and largest finite loss of the file
  std::int64_t nonfinite = 0;
  std::int64_t tiles = 0;          ///< of this run; one for a shard that was complete before
  std::int64_t resumed_tiles = 0;  ///< finished by earlier runs, verified and kept
  std::int64_t tile_points = 0;
  std::int64_t evaluated_points = 0;  ///< by this call
  double seconds = 0;                 ///< of this call
  std::string device;                 ///< what follows is as in Surface
  Precision precision = Precision::f64;
  std::string plan;
  /// evaluations: those of the fit, which every shard and every resumed run repeats, plus one for each point of this
  /// file for pointwise; saved: `points` minus evaluations. Absent if every tile existed already, since nothing was
  /// fitted.
  std::optional<ChebyshevReport> chebyshev;
};

/// Evaluates L(α) at every point of a grid, tile by tile, into an .npy file (n₁, …, n_z, H) of f64 with the bits that
/// Landscape::evaluate() gives, or a shard of it into a file for merge_sections(). Memory does not grow with the grid,
/// which may have up to 2⁵⁹ losses.
///
/// The losses go to FILE.partial, and the finished tiles with their checksums to FILE.journal. At the end the former is
/// renamed to FILE and the latter removed. After an interruption, an error or a kill both stay, unless no tile was
/// finished, and Unfinished::resume continues from them: it keeps tiles that match their checksums and evaluates the
/// others again. The file, or shard, has the bits of an undisturbed run. A journal belongs to one model, section, data
/// set, loss, grid, precision, plan, method, device and version; with any other it is refused and left alone. A tile
/// that does not fit the memory is evaluated in halves, with the same bits.
///
/// Throws InvalidArgument if section, grid or options do not fit; FileError for a file that is in the way, belongs to
/// another run (which may be under way) or is damaged; WriteError if the disk is full, writing fails or another process
/// took FILE.partial away; OutOfMemory with the bytes for one point, or for the set-up before it; Interrupted. Files
/// and options are checked before anything is computed.
/// @snippet api/sections.cpp section file
/// @snippet api/sections.cpp shards
LOSSATLAS_API SectionFileReport write_section(const std::filesystem::path& file, const Landscape& landscape,
                                              const Section& section, const Grid& grid,
                                              const SectionFileOptions& options = {});

/// Merges all shards of a section, in any order, into one .npy file with the bits of one run over the whole grid. The
/// file appears complete or not at all. Checks every shard against its checksum. The report has the device and the
/// precision that the shards asked for and an empty plan.
/// Throws FileError if a shard is missing, given twice, damaged or of another section, WriteError, Interrupted.
/// @snippet api/sections.cpp shards
LOSSATLAS_API SectionFileReport merge_sections(const std::filesystem::path& file,
                                               std::span<const std::filesystem::path> shards,
                                               const Control& control = {});

/// The grid of a shard. Throws FileError if the file is not a shard.
/// @snippet api/sections.cpp shards
LOSSATLAS_API Grid shard_grid(const std::filesystem::path& shard);
/// H of a shard. Throws FileError if the file is not a shard.
/// @snippet api/sections.cpp shards
LOSSATLAS_API std::int64_t shard_heads(const std::filesystem::path& shard);

}  // namespace lossatlas
