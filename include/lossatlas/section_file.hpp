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

/// Part `index` of `count` contiguous parts of a grid's points, nearly equal, counted from 1.
struct Shard {
  std::int64_t index = 1;
  std::int64_t count = 1;
};

/// What to do with FILE.partial and FILE.journal of a run that did not finish.
///
/// refuse: throw and leave them alone. resume: go on from them; from the beginning when there are none, unless FILE is
/// the shard that is asked for, complete: that is verified and kept. An .npy file does not say what it is of, so that
/// one is evaluated again and replaced.
enum class Unfinished : std::uint8_t { refuse, resume };

struct SectionFileOptions {
  EvaluateOptions evaluate = {};
  Unfinished unfinished = Unfinished::refuse;
  std::optional<Shard> shard = std::nullopt;  ///< a file for merge_sections(), also of 1 of 1; otherwise an .npy file
  /// Points of a tile; 0: what takes about a tenth of a second by a short measurement. A resumed run keeps the size it
  /// began with. Bits do not depend on it. Nor has a request to stop to wait for a tile's end: the landscape heeds it
  /// within one, and that tile is evaluated again by the run that resumes.
  std::int64_t tile_points = 0;
};

/// What is in a file of losses, and what this call did.
struct SectionFileReport {
  std::int64_t points = 0;  ///< of the grid; of a shard those of its part
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
  /// evaluations: those of the fit, which every shard and every resumed run repeats, with one for each of this file's
  /// points for pointwise; saved: `points` less those. Nothing when every tile was there, since nothing was fitted
  /// then.
  std::optional<ChebyshevReport> chebyshev;
};

/// Evaluates L(α) at every point of a grid, tile by tile, into an .npy file (n₁, …, n_z, H) of f64 with the bits that
/// Landscape::evaluate() gives; a shard into a file for merge_sections(). Memory does not grow with the grid, of up to
/// 2⁵⁹ losses.
///
/// The losses go to FILE.partial, the finished tiles with their checksums to FILE.journal; at the end the one is
/// renamed to FILE and the other removed. After an interruption, an error or a kill both stay, unless no tile was
/// finished, and Unfinished::resume goes on from them: tiles that match their checksums are kept, others evaluated
/// again, and the file, also a shard, has the bits of an undisturbed run. A journal belongs to one model, section, data
/// set, loss, grid, precision, plan, method, device and version: with any other it is refused and left alone. A tile
/// that memory has no room for is evaluated in halves, of the same bits.
///
/// Throws InvalidArgument when section, grid or options do not fit, FileError for a file that is in the way, belongs to
/// another run, which may be under way, or is damaged, WriteError when the disk is full, writing fails or another
/// process took FILE.partial away, OutOfMemory with the bytes that one point needs, or the set-up before it,
/// Interrupted. Files and options are looked at before anything is computed.
LOSSATLAS_API SectionFileReport write_section(const std::filesystem::path& file, const Landscape& landscape,
                                              const Section& section, const Grid& grid,
                                              const SectionFileOptions& options = {});

/// One .npy file from all shards of a section, in any order, with the bits of one run over the whole grid; complete or
/// not at all. Checks every shard against its checksum. The report's device and precision are those asked for by
/// the shards, its plan is empty.
/// Throws FileError when a shard is missing, given twice, damaged or of another section, WriteError, Interrupted.
LOSSATLAS_API SectionFileReport merge_sections(const std::filesystem::path& file,
                                               std::span<const std::filesystem::path> shards,
                                               const Control& control = {});

/// The grid of a shard. Throws FileError when the file is none.
LOSSATLAS_API Grid shard_grid(const std::filesystem::path& shard);
/// H of a shard. Throws FileError when the file is none.
LOSSATLAS_API std::int64_t shard_heads(const std::filesystem::path& shard);

}  // namespace lossatlas
