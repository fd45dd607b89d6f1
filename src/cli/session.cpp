#include "session.hpp"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <system_error>
#include <utility>

#include <lossatlas/error.hpp>

namespace lossatlas::cli {
namespace {

constexpr int kInterrupted = 130;

std::atomic<int> interrupts{0};
int wake_read = -1;
int wake_write = -1;

// request_stop() may run callbacks and lock, which a signal handler must not: the handler only wakes the watcher.
extern "C" void on_interrupt(int) {
  if (interrupts.fetch_add(1) > 0) _exit(kInterrupted);
  const int saved = errno;
  const char byte = 1;
  [[maybe_unused]] const ssize_t written = write(wake_write, &byte, 1);
  errno = saved;
}

}  // namespace

Session::Session() {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) throw std::system_error(errno, std::generic_category(), "pipe");
  wake_read = ends[0];
  wake_write = ends[1];
  watcher_ = std::thread([this] {
    char byte = 0;
    ssize_t got;
    do {
      got = read(wake_read, &byte, 1);
    } while (got < 0 && errno == EINTR);
    if (got == 1 && byte == 1) stop_.request_stop();
  });
  struct sigaction action {};
  action.sa_handler = on_interrupt;
  action.sa_flags = SA_RESTART;
  sigaction(SIGINT, &action, nullptr);
}

Session::~Session() {
  signal(SIGINT, SIG_DFL);
  const char byte = 0;
  [[maybe_unused]] const ssize_t written = write(wake_write, &byte, 1);
  watcher_.join();
  close(wake_read);
  close(wake_write);
}

Control Session::control() {
  return {[this](const ProgressEvent& event) {
            print_notes();
            progress_.update(event);
          },
          stop_.get_token()};
}

void Session::check() const {
  if (stop_.stop_requested()) throw Interrupted("interrupted");
}

void Session::note(std::string line) { notes_.push_back(std::move(line)); }

void Session::finish() {
  progress_.erase();
  print_notes();
}

void Session::print_notes() {
  for (const std::string& line : notes_) std::fprintf(stderr, "%s\n", line.c_str());
  notes_.clear();
}

}  // namespace lossatlas::cli
