// The blocks of a launch, in random order. Never compiled with -fsanitize=thread.
#include <pthread.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>

#include "block.hpp"

namespace simt {

Options& options() {
  static Options chosen = [] {
    Options from;
    if (const char* order = std::getenv("SIMT_ORDER")) {
      const std::string name = order;
      from.order = name == "forward" ? Order::forward : name == "reverse" ? Order::reverse : Order::random;
    }
    if (const char* seed = std::getenv("SIMT_SEED")) from.seed = std::strtoull(seed, nullptr, 10);
    if (const char* parallel = std::getenv("SIMT_PARALLEL")) from.parallel = parallel[0] == '1';
#ifdef SIMT_ASAN
    from.stack_bytes = 256 * 1024;
#endif
    return from;
  }();
  return chosen;
}

namespace detail {
namespace {

std::vector<uint3> block_order(dim3 grid) {
  std::vector<uint3> order;
  order.reserve(std::size_t{grid.x} * grid.y * grid.z);
  for (unsigned z = 0; z < grid.z; ++z) {
    for (unsigned y = 0; y < grid.y; ++y) {
      for (unsigned x = 0; x < grid.x; ++x) order.push_back({x, y, z});
    }
  }
  if (options().order == Order::reverse) std::reverse(order.begin(), order.end());
  if (options().order == Order::random) {
    std::uint64_t state = random_state(options().seed);
    for (std::size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[random_index(state, i)]);
  }
  return order;
}

#ifdef SIMT_CONCURRENT

/// A block on an OS thread of its own: thread_local __shared__ variables are the block's own, and ThreadSanitizer sees
/// no order between blocks.
struct Worker {
  const KernelCall* call;
  uint3 index;
  std::size_t first_slot;
  std::uint64_t seed;
  std::atomic<bool> done{false};
  std::optional<std::string> failure;
  pthread_t id{};

  void run() {
    try {
      Block(*call, index, first_slot, seed).run();
    } catch (const Error& e) {
      failure = e.what();
    }
    done.store(true, std::memory_order_relaxed);
    done.notify_one();
  }
};

void start(Worker& worker) {
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, 512 * 1024);
  const auto body = [](void* p) -> void* {
    static_cast<Worker*>(p)->run();
    return nullptr;
  };
  const int status = pthread_create(&worker.id, &attributes, body, &worker);
  pthread_attr_destroy(&attributes);
  if (status != 0) throw Error("no thread for a block");
}

void run_blocks(const KernelCall& call, const std::vector<uint3>& order) {
  constexpr std::size_t kMostSlots = 1024;  // ThreadSanitizer's limit is 8128
  const std::size_t threads = call.threads();
  const std::size_t batch = std::max<std::size_t>(1, kMostSlots / threads);
  slots(std::min(batch, order.size()) * threads);
  for (std::size_t begin = 0; begin < order.size(); begin += batch) {  // only blocks of one batch are unordered
    const std::size_t end = std::min(order.size(), begin + batch);
    std::deque<Worker> workers;
    bool failed = false;
    for (std::size_t i = begin; i < end && !failed; ++i) {
      Worker& worker = workers.emplace_back();
      worker.call = &call, worker.index = order[i], worker.first_slot = (i - begin) * threads;
      worker.seed = options().seed + i + 1;
      start(worker);
      if (!options().parallel) {
        worker.done.wait(false, std::memory_order_relaxed);  // unseen by ThreadSanitizer
        failed = worker.failure.has_value();
      }
    }
    for (Worker& worker : workers) pthread_join(worker.id, nullptr);
    for (const Worker& worker : workers) {
      if (worker.failure) throw Error(*worker.failure);
    }
  }
}

#else

void run_blocks(const KernelCall& call, const std::vector<uint3>& order) {
  slots(call.threads());
  std::uint64_t count = 0;
  for (const uint3 index : order) Block(call, index, 0, options().seed + ++count).run();
}

#endif

}  // namespace
}  // namespace detail

void run(const KernelCall& call) { detail::run_blocks(call, detail::block_order(call.grid)); }

}  // namespace simt
