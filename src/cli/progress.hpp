// The progress line on a terminal.
#pragma once

#include <chrono>
#include <cstdio>
#include <string>

#include <lossatlas/progress.hpp>

namespace lossatlas::cli {

/// One line "stage  37 %  5.1e+04 points/s  12 s left" on stderr, redrawn in place and erased at the end. Draws nothing
/// unless stderr is a terminal.
class ProgressLine {
 public:
  ProgressLine();
  ~ProgressLine() { erase(); }
  ProgressLine(const ProgressLine&) = delete;
  ProgressLine& operator=(const ProgressLine&) = delete;

  void update(const ProgressEvent& event);
  void erase();

 private:
  using Clock = std::chrono::steady_clock;

  bool terminal_;
  bool drawn_ = false;
  std::string stage_;
  std::int64_t done_ = 0;
  std::int64_t stage_done_ = 0;  ///< done_ when the stage began
  Clock::time_point stage_start_;
  Clock::time_point last_draw_;
};

/// "12 s", "3 min 05 s", "2 h 10 min".
std::string duration_text(double seconds);

}  // namespace lossatlas::cli
