// How long to run what is timed for a rate.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>

namespace lossatlas {

/// Grows the rounds of work until a run is long compared with starting a thread or a kernel; then takes the fastest of
/// five such runs, or of fewer if they take too long.
class RatePace {
 public:
  std::int64_t rounds() const { return rounds_; }  ///< of the next run
  bool done() const { return runs_ == kRuns || spent_ >= kEnough; }
  double seconds_per_round() const { return best_; }

  /// Records the time of one run.
  void add(double seconds) {
    if (seconds < 0.8 * kSeconds) {
      rounds_ *= static_cast<std::int64_t>(std::clamp(kSeconds / std::max(seconds, 1e-9), 2.0, 64.0));
      runs_ = 0;
      spent_ = 0;
      best_ = std::numeric_limits<double>::infinity();
      return;
    }
    best_ = std::min(best_, seconds / static_cast<double>(rounds_));
    spent_ += seconds;
    ++runs_;
  }

 private:
  static constexpr double kSeconds = 3e-3, kEnough = 30e-3;
  static constexpr int kRuns = 5;

  std::int64_t rounds_ = 1;
  int runs_ = 0;
  double spent_ = 0;
  double best_ = std::numeric_limits<double>::infinity();
};

}  // namespace lossatlas
