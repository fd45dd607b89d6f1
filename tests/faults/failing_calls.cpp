// Loaded before the program (LD_PRELOAD): the k-th call since main began fails, or all from the k-th on.
//   FAIL_ALLOCATION, FAIL_THREAD   "k" or "k+"; FAIL_THREAD=0+ before main as well
//   FAIL_COUNTS                    a file for the numbers of allocations and of threads asked for
// Allocations of OpenBLAS are left alone: it ends the process itself when one fails.
#include <fcntl.h>
#include <link.h>
#include <pthread.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include <dlfcn.h>

extern "C" {
void* __libc_malloc(std::size_t);
void* __libc_calloc(std::size_t, std::size_t);
void* __libc_realloc(void*, std::size_t);
void* __libc_memalign(std::size_t, std::size_t);
}

namespace {

/// Which calls of a kind fail.
struct Failing {
  std::atomic<long> met{0};
  long first = 0;
  bool for_good = false;

  void read(const char* name) {
    const char* text = std::getenv(name);
    if (text == nullptr) return;
    char* end = nullptr;
    first = std::strtol(text, &end, 10);
    for_good = *end == '+';
  }

  bool next() {
    const long k = ++met;
    return for_good ? k >= first : k == first;
  }
};

Failing allocations, threads;
std::atomic<bool> begun{false};
std::uintptr_t spared_first = 0, spared_last = 0;

int find_spared(dl_phdr_info* info, std::size_t, void*) {
  if (std::strstr(info->dlpi_name, "openblas") == nullptr) return 0;
  for (int i = 0; i < info->dlpi_phnum; ++i) {
    const ElfW(Phdr)& part = info->dlpi_phdr[i];
    if (part.p_type != PT_LOAD || (part.p_flags & PF_X) == 0) continue;
    spared_first = info->dlpi_addr + part.p_vaddr;
    spared_last = spared_first + part.p_memsz;
  }
  return 0;
}

bool refuses(const void* caller) {
  if (!begun) return false;
  const auto at = reinterpret_cast<std::uintptr_t>(caller);
  if (spared_first <= at && at < spared_last) return false;
  if (!allocations.next()) return false;
  errno = ENOMEM;
  return true;
}

int (*program)(int, char**, char**) = nullptr;

int counted(int argc, char** argv, char** environment) {
  allocations.read("FAIL_ALLOCATION");
  threads.read("FAIL_THREAD");
  dl_iterate_phdr(find_spared, nullptr);
  begun = true;
  const int status = program(argc, argv, environment);
  begun = false;
  const char* file = std::getenv("FAIL_COUNTS");
  const int descriptor = file == nullptr ? -1 : open(file, O_WRONLY | O_CREAT | O_TRUNC, 0600);
  if (descriptor < 0) return status;
  dprintf(descriptor, "%ld %ld\n", allocations.met.load(), threads.met.load());
  close(descriptor);
  return status;
}

}  // namespace

#define CALLER __builtin_return_address(0)

extern "C" {

void* malloc(std::size_t size) { return refuses(CALLER) ? nullptr : __libc_malloc(size); }

void* calloc(std::size_t count, std::size_t size) { return refuses(CALLER) ? nullptr : __libc_calloc(count, size); }

void* realloc(void* block, std::size_t size) { return refuses(CALLER) ? nullptr : __libc_realloc(block, size); }

void* memalign(std::size_t alignment, std::size_t size) {
  return refuses(CALLER) ? nullptr : __libc_memalign(alignment, size);
}

void* aligned_alloc(std::size_t alignment, std::size_t size) {
  return refuses(CALLER) ? nullptr : __libc_memalign(alignment, size);
}

int posix_memalign(void** block, std::size_t alignment, std::size_t size) {
  *block = refuses(CALLER) ? nullptr : __libc_memalign(alignment, size);
  return *block == nullptr ? ENOMEM : 0;
}

int pthread_create(pthread_t* thread, const pthread_attr_t* attributes, void* (*work)(void*), void* argument) {
  using Create = int(pthread_t*, const pthread_attr_t*, void* (*)(void*), void*);
  static Create* const create = reinterpret_cast<Create*>(dlsym(RTLD_NEXT, "pthread_create"));
  const char* which = begun ? "" : std::getenv("FAIL_THREAD");
  if (begun ? threads.next() : which != nullptr && std::strcmp(which, "0+") == 0) return EAGAIN;
  return create(thread, attributes, work, argument);
}

int __libc_start_main(int (*main)(int, char**, char**), int argc, char** argv, int (*init)(int, char**, char**),
                      void (*fini)(), void (*rtld_fini)(), void* stack) {
  using Start =
      int(int (*)(int, char**, char**), int, char**, int (*)(int, char**, char**), void (*)(), void (*)(), void*);
  auto* start = reinterpret_cast<Start*>(dlsym(RTLD_NEXT, "__libc_start_main"));
  program = main;
  return start(counted, argc, argv, init, fini, rtld_fini, stack);
}

}  // extern "C"
