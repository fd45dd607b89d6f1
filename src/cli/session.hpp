// What every subcommand runs in: signal handling, the progress line, notes on stderr, and a record of the files read.
#pragma once

#include <functional>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include <lossatlas/opened_files.hpp>
#include <lossatlas/progress.hpp>

#include "progress.hpp"

namespace lossatlas::cli {

/// Turns the first SIGINT (Ctrl-C), SIGTERM or SIGHUP into a stop request; a second one ends the process at once with
/// status 128 + its number. A signal that was ignored when the process began stays ignored. One session at a time.
class Session {
 public:
  Session();
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  /// Progress and stop token for a long call. The session must outlive the call.
  Control control();
  /// Throws Interrupted after a signal; for use between long calls.
  void check();
  /// The files read so far.
  const OpenedFiles& opened() const { return opened_; }
  /// Adds a line for stderr, held back until work has begun, so that a refused command prints only its error.
  void note(std::string line);
  /// Erases the progress line and prints the notes still held back.
  void finish();

 private:
  void start_watcher();
  void pass_on_signal();
  void print_notes();

  OpenedFiles opened_;
  std::stop_source stop_;
  ProgressLine progress_;
  std::vector<std::string> notes_;
  std::thread watcher_;  ///< none if the system gives no thread: then progress and check() look for signals
};

/// The exit status after a signal in the last session: 128 + its number, 130 for Ctrl-C.
int signal_status();

/// A parsed subcommand, ready to run.
using Command = std::function<void(Session&)>;

}  // namespace lossatlas::cli
