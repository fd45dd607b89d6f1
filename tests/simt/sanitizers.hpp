// What the sanitizers must be told about stack switches; empty without them. SIMT_ASAN and SIMT_TSAN are defined for
// the emulator's sources, which themselves are never compiled with -fsanitize=thread.
#pragma once

#ifdef SIMT_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

#ifdef SIMT_TSAN
#include <sanitizer/tsan_interface.h>
#else
inline void __tsan_acquire(void*) {}
inline void __tsan_release(void*) {}
#endif
