// Runs CUDA kernels on the host: every CUDA thread is a fiber, scheduled from barrier to barrier.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <source_location>
#include <stdexcept>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include <cuda_runtime.h>  // vector types, dim3; __global__, __device__ etc. are empty outside nvcc

// What each block has of its own. One OS thread runs all blocks, one after another; with SIMT_CONCURRENT every block
// has an OS thread.
#ifdef SIMT_CONCURRENT
#define SIMT_BLOCK_LOCAL thread_local
#else
#define SIMT_BLOCK_LOCAL
#endif

namespace simt {

/// A kernel did what CUDA leaves undefined: a barrier not reached by all, a shuffle from an absent lane ...
struct Error : std::runtime_error {
  using std::runtime_error::runtime_error;
};

enum class Order { random, forward, reverse };

/// How ready threads, blocks and streams are picked. From the environment: SIMT_ORDER=random|forward|reverse,
/// SIMT_SEED=n, SIMT_PARALLEL=1 (blocks at the same time; only where SIMT_CONCURRENT is defined).
struct Options {
  Order order = Order::random;
  std::uint64_t seed = 1;
  bool parallel = false;
  std::size_t stack_bytes = 64 * 1024;
};
Options& options();

using Site = std::source_location;

namespace detail {

inline constexpr int kWarpSize = 32;

/// What one lane brings to a warp-wide operation.
struct Collective {
  const char* name;
  unsigned mask;
  bool orders_memory;
  const void* in;
  void* out;
  void (*run)(unsigned mask, const void* const* in, void* const* out);  // once, for all lanes of mask
  Site site;
};

void block_barrier(Site site);
int block_vote(int predicate, int (*combine)(int trues, int threads), Site site);
void warp_collective(const Collective& collective);
unsigned active_lanes();
void fence();
void* dynamic_shared();
int linear_thread();
[[noreturn]] void fail(const char* what, const char* message);

/// A copy to shared memory that has been started: its bytes, not yet written.
struct CopyAsync {
  void* to;
  int count;
  std::array<unsigned char, 16> bytes;
};
void copy_async_add(const CopyAsync& copy);
void copy_async_commit();
/// The next copy to finish so that at most `pending` groups remain.
bool copy_async_take(int pending, CopyAsync& copy);

/// One warp-wide operation. `Run(mask, in, out)` sees pointers to all lanes' inputs and outputs.
template <class Out, class In, void (*Run)(unsigned, const In* const*, Out* const*)>
Out collective(const char* name, unsigned mask, const In& in, Site site, bool orders_memory = false) {
  Out out{};
  warp_collective({name, mask, orders_memory, &in, &out,
                   [](unsigned m, const void* const* i, void* const* o) {
                     Run(m, reinterpret_cast<const In* const*>(i), reinterpret_cast<Out* const*>(o));
                   },
                   site});
  return out;
}

}  // namespace detail

/// A kernel with its arguments, to be run once by every thread.
struct KernelCall {
  const void* kernel = nullptr;
  dim3 grid, block;
  std::size_t shared_bytes = 0;
  std::function<void()> body;
  std::vector<const void*> pointers;  // arguments that are pointers
  std::vector<std::uintptr_t> words;  // the other arguments' words, among which pointers may hide
  Site site;
  std::size_t threads() const { return std::size_t{block.x} * block.y * block.z; }
};

/// Runs all blocks to their end. Throws Error on undefined behaviour.
void run(const KernelCall& call);

template <class... Params, class... Args>
KernelCall make_call(void (*kernel)(Params...), dim3 grid, dim3 block, std::size_t shared_bytes, Site site,
                     Args&&... args) {
  KernelCall call;
  call.kernel = reinterpret_cast<const void*>(kernel);
  call.grid = grid;
  call.block = block;
  call.shared_bytes = shared_bytes;
  call.site = site;
  const std::tuple<std::remove_cv_t<Params>...> params{std::forward<Args>(args)...};
  const auto note = [&call](const auto& param) {
    using Param = std::remove_cvref_t<decltype(param)>;
    static_assert(std::is_trivially_copyable_v<Param>, "kernel arguments are copied as bytes");
    if constexpr (std::is_pointer_v<Param>) {
      call.pointers.push_back(param);
    } else if constexpr (sizeof(Param) >= sizeof(std::uintptr_t)) {
      const std::size_t first = call.words.size();
      call.words.resize(first + sizeof(Param) / sizeof(std::uintptr_t));
      std::memcpy(&call.words[first], &param, sizeof(Param) / sizeof(std::uintptr_t) * sizeof(std::uintptr_t));
    }
  };
  std::apply([&note](const auto&... each) { (note(each), ...); }, params);
  call.body = [kernel, params] { std::apply(kernel, params); };  // by value: every thread has its own parameters
  return call;
}

/// Checks the shape and puts the kernel on the stream.
cudaError_t enqueue(KernelCall call, cudaStream_t stream);
/// Puts other work on the stream; `work` may throw Error.
cudaError_t enqueue(std::function<void()> work, std::vector<const void*> pointers, cudaStream_t stream, Site site);

}  // namespace simt
