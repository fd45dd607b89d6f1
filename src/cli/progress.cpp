#include "progress.hpp"

#include <unistd.h>

#include <cmath>

namespace lossatlas::cli {
namespace {

std::string rate_text(double rate, std::string_view unit) {
  char text[32];
  std::snprintf(text, sizeof text, "  %.3g ", rate);
  return text + std::string(unit) + "/s";
}

}  // namespace

std::string duration_text(double seconds) {
  const long total = std::lround(std::ceil(seconds));
  char text[48];
  if (total < 60) {
    std::snprintf(text, sizeof text, "%ld s", total);
  } else if (total < 3600) {
    std::snprintf(text, sizeof text, "%ld min %02ld s", total / 60, total % 60);
  } else {
    std::snprintf(text, sizeof text, "%ld h %02ld min", total / 3600, total % 3600 / 60);
  }
  return text;
}

ProgressLine::ProgressLine() : terminal_(isatty(STDERR_FILENO) != 0) {}

void ProgressLine::update(const ProgressEvent& event) {
  if (!terminal_ || event.total <= 0) return;
  const auto now = Clock::now();
  if (stage_ != event.stage || event.done < done_) {
    stage_ = event.stage;
    stage_start_ = now;
    stage_done_ = event.done;
  }
  done_ = event.done;
  if (drawn_ && now - last_draw_ < std::chrono::milliseconds(100)) return;
  last_draw_ = now;
  drawn_ = true;
  const double share = static_cast<double>(event.done) / static_cast<double>(event.total);
  const double elapsed = std::chrono::duration<double>(now - stage_start_).count();
  std::string left;
  // Two seconds of history before a forecast: the first reports of a stage say little. A resumed stage starts late.
  const double rate = static_cast<double>(event.done - stage_done_) / elapsed;
  if (elapsed > 2 && rate > 0) {
    if (!event.unit.empty()) left = rate_text(rate, event.unit);
    if (share < 1) left += "  " + duration_text(static_cast<double>(event.total - event.done) / rate) + " left";
  }
  std::fprintf(stderr, "\r\033[K%s  %.0f %%%s", stage_.c_str(), 100 * share, left.c_str());
  std::fflush(stderr);
}

void ProgressLine::erase() {
  if (!drawn_) return;
  std::fputs("\r\033[K", stderr);
  std::fflush(stderr);
  drawn_ = false;
}

}  // namespace lossatlas::cli
