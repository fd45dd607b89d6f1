// What every subcommand runs in: Ctrl-C, the progress line, notes on stderr, and which files were read.
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

/// Turns the first Ctrl-C into a stop request; a second one ends the process at once with status 130. One at a time.
class Session {
 public:
  Session();
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  /// Progress and stop token for a long call. The session must outlive the call.
  Control control();
  /// Throws Interrupted after a Ctrl-C; for the places between long calls.
  void check() const;
  /// The files read so far.
  const OpenedFiles& opened() const { return opened_; }
  /// One line for stderr. It is held back until work has begun, so that a refused command prints its error only.
  void note(std::string line);
  /// Erases the progress line and prints the notes still held back.
  void finish();

 private:
  void print_notes();

  OpenedFiles opened_;
  std::stop_source stop_;
  ProgressLine progress_;
  std::vector<std::string> notes_;
  std::thread watcher_;
};

/// A parsed subcommand, ready to run.
using Command = std::function<void(Session&)>;

}  // namespace lossatlas::cli
