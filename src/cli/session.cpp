#include "session.hpp"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <system_error>
#include <utility>

#include <lossatlas/error.hpp>

#include "output.hpp"

namespace lossatlas::cli {
namespace {

constexpr int kSignals[] = {SIGINT, SIGTERM, SIGHUP};  // Ctrl-C, the end of a job, the end of a terminal

std::atomic<int> first_signal{0};
int wake_read = -1;
int wake_write = -1;

int status_of(int number) { return 128 + number; }

void wake(char byte) { [[maybe_unused]] const ssize_t written = write(wake_write, &byte, 1); }

// request_stop() may run callbacks and lock, which a signal handler must not: the handler only wakes the watcher.
extern "C" void on_signal(int number) {
  int none = 0;
  if (!first_signal.compare_exchange_strong(none, number)) _exit(status_of(number));
  const int saved = errno;
  wake(1);
  errno = saved;
}

void handle_signals(void (*handler)(int)) {
  for (const int number : kSignals) {
    struct sigaction action {};
    if (sigaction(number, nullptr, &action) != 0 || action.sa_handler == SIG_IGN) continue;
    action = {};
    action.sa_handler = handler;
    action.sa_flags = SA_RESTART;
    sigaction(number, &action, nullptr);
  }
}

}  // namespace

int signal_status() { return status_of(first_signal == 0 ? SIGINT : first_signal.load()); }

Session::Session() {
  start_watcher();
  handle_signals(on_signal);
}

Session::~Session() {
  handle_signals(SIG_DFL);
  if (watcher_.joinable()) {
    wake(0);
    watcher_.join();
  }
  close(wake_read);
  close(wake_write);
}

void Session::start_watcher() {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) throw std::system_error(errno, std::generic_category(), "pipe");
  wake_read = ends[0];
  wake_write = ends[1];
  fcntl(wake_read, F_SETFL, 0);  // the watcher blocks, a handler never does
  try {
    watcher_ = std::thread([this] {
      char byte = 0;
      ssize_t got;
      do {
        got = read(wake_read, &byte, 1);
      } while (got < 0 && errno == EINTR);
      if (got == 1 && byte == 1) stop_.request_stop();
    });
  } catch (const std::system_error&) {
  }
}

void Session::pass_on_signal() {
  if (first_signal != 0 && !watcher_.joinable()) stop_.request_stop();
}

Control Session::control() {
  return {[this](const ProgressEvent& event) {
            pass_on_signal();
            print_notes();
            progress_.update(event);
          },
          stop_.get_token()};
}

void Session::check() {
  pass_on_signal();
  if (stop_.stop_requested()) throw Interrupted("interrupted");
}

void Session::note(std::string line) { notes_.push_back(std::move(line)); }

void Session::finish() {
  progress_.erase();
  print_notes();
}

void Session::print_notes() {
  for (const std::string& line : notes_) print_error(line);
  notes_.clear();
}

}  // namespace lossatlas::cli
