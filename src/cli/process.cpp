#include "process.hpp"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

namespace lossatlas::cli {
namespace {

// When it is loaded, OpenBLAS starts a thread for every processor but one, and ends the process if the system refuses
// one. Those threads are never used here, so OpenBLAS is shown one processor while it loads.
cpu_set_t processors;
bool narrowed = false;

void narrow() {
  if (sched_getaffinity(0, sizeof processors, &processors) != 0) return;
  int first = 0;
  while (first < CPU_SETSIZE - 1 && !CPU_ISSET(first, &processors)) ++first;
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(first, &one);
  narrowed = sched_setaffinity(0, sizeof one, &one) == 0;
}

[[gnu::section(".preinit_array"), gnu::used]] void (*const before_libraries)() = narrow;

bool pipe_ended_process = true;

/// Ignores a signal; returns whether the process had not ignored it already.
bool ignore(int number) {
  struct sigaction ignored {
  }, old{};
  ignored.sa_handler = SIG_IGN;
  return sigaction(number, &ignored, &old) == 0 && old.sa_handler != SIG_IGN;
}

}  // namespace

void prepare_process() {
  if (narrowed) sched_setaffinity(0, sizeof processors, &processors);
  for (const int descriptor : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (fcntl(descriptor, F_GETFD) != -1 || errno != EBADF) continue;
    // open() takes the lowest free descriptor, which is this one.
    if (open("/dev/null", descriptor == STDIN_FILENO ? O_WRONLY : O_RDONLY) < 0) {
      throw std::system_error(errno, std::generic_category(), "/dev/null");
    }
  }
  ignore(SIGXFSZ);
  pipe_ended_process = ignore(SIGPIPE);
}

bool pipe_ends_process() { return pipe_ended_process; }

}  // namespace lossatlas::cli
