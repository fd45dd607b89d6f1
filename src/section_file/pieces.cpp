#include "section_file/pieces.hpp"

#include <algorithm>
#include <chrono>
#include <new>
#include <stdexcept>
#include <string>

#include "base/check.hpp"

namespace lossatlas {
namespace {

constexpr std::int64_t kPieceBytes = std::int64_t{1} << 24;  // points and checksums of so much take milliseconds
constexpr double kTileSeconds = 0.1;
constexpr double kProbeSeconds = 0.03;  // a longer probe tells no more

std::int64_t values_of_a_point(const TileSource& source) { return source.heads + source.grid.rank(); }

/// `bytes` is 0 if the failed allocation did not give its size.
[[noreturn]] void out_of_memory(const TileSource& source, std::int64_t bytes, const std::string& reason) {
  if (bytes == 0) bytes = source.point_bytes();
  const std::string need = bytes == 0 ? "more memory than there is" : text_of(bytes, " bytes");
  throw OutOfMemory(message("write_section", "received a section of which one point needs ", need, " (", reason,
                            "), expected that much to be free; use fewer samples or f32"),
                    bytes);
}

}  // namespace

PieceEvaluator::PieceEvaluator(const TileSource& source)
    : source_(source), piece_(std::max<std::int64_t>(1, kPieceBytes / (8 * values_of_a_point(source)))) {}

void PieceEvaluator::prepare(const Control& control) {
  if (!source_.prepare) return;
  try {
    source_.prepare(control);
  } catch (const OutOfMemory& error) {
    if (error.bytes() > 0) throw;
    out_of_memory(source_, 0, error.what());
  } catch (const std::bad_alloc& error) {
    out_of_memory(source_, 0, error.what());
  }
}

std::int64_t PieceEvaluator::evaluate(std::int64_t first, std::int64_t count, const Control& control) {
  for (;;) {
    const std::int64_t piece = std::min(count, piece_);
    std::int64_t bytes = 0;
    std::string reason;
    try {
      buffer_.resize(static_cast<std::size_t>(piece * source_.heads));
      source_.evaluate(first, piece, control, buffer_);
      return piece;
    } catch (const OutOfMemory& error) {
      bytes = error.bytes();
      reason = error.what();
    } catch (const std::bad_alloc& error) {
      reason = error.what();
    } catch (const std::length_error& error) {
      reason = error.what();
    }
    if (piece == 1) out_of_memory(source_, bytes, reason);
    piece_ = piece / 2;
    buffer_ = {};
  }
}

std::int64_t PieceEvaluator::recall(std::int64_t first, std::int64_t count) {
  const std::int64_t skip = first - known_first_;
  const std::int64_t left = std::ssize(known_) / source_.heads - skip;
  if (skip < 0 || left <= 0) return 0;
  const std::int64_t piece = std::min(left, count);
  const auto begin = known_.begin() + skip * source_.heads;
  buffer_.assign(begin, begin + piece * source_.heads);
  return piece;
}

void PieceEvaluator::run(std::int64_t first, std::int64_t count, const Control& control,
                         const std::function<void(std::span<const double> losses)>& use) {
  const std::int64_t last = first + count;
  while (first < last) {
    std::int64_t piece = recall(first, last - first);
    if (piece == 0) {
      known_ = {};
      piece = evaluate(first, last - first, control);
    }
    use(buffer_);
    first += piece;
  }
}

std::int64_t PieceEvaluator::choose_tile(std::int64_t first, std::int64_t count, std::int64_t most,
                                         const Control& control) {
  known_first_ = first;
  known_.clear();
  std::int64_t done = 0, wanted = 1, piece = 0;
  double seconds = 0;
  const auto probe = [&] {
    const auto start = std::chrono::steady_clock::now();
    piece = evaluate(first + done, std::min(wanted, count - done), control);
    seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    done += piece;
    known_.insert(known_.end(), buffer_.begin(), buffer_.end());
  };
  probe();  // the first call warms up
  if (done < count) probe();
  while (done < count && piece == wanted && seconds < kProbeSeconds) {
    wanted *= 4;
    probe();
  }
  const double each = std::max(seconds / static_cast<double>(piece), 1e-12);
  const auto good = static_cast<std::int64_t>(kTileSeconds / each);
  const std::int64_t least = (count - 1) / most + 1;
  return std::min(count, std::clamp(good, least, std::max(piece_, least)));
}

}  // namespace lossatlas
