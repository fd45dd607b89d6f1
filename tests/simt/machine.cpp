// Streams as queues that run late, in any order that events and synchronisation allow.
#include "machine.hpp"

#include <cuda_runtime_api.h>

#include <algorithm>

#include "random_order.hpp"

namespace simt {

Machine& machine() {
  static Machine* const the = new Machine;  // host objects may outlive static destruction
  return *the;
}

int& current_device() {
  thread_local int device = 0;
  return device;
}

Machine::Machine() : random_(detail::random_state(options().seed)) {
  for (int device = 0; device < kDevices; ++device) streams_.push_back({.device = device, .legacy = true, .queue = {}});
}

namespace {

/// A place for one more object; addresses of the dead are used again only when there are many of them.
template <class T>
T& place_for(std::deque<T>& storage) {
  constexpr std::size_t kManyDead = 256;
  if (storage.size() > kManyDead) {
    const auto dead = [](const T& each) {
      if constexpr (requires { each.queue; }) {
        if (!each.queue.empty()) return false;
      }
      return !each.alive;
    };
    if (const auto found = std::find_if(storage.begin(), storage.end(), dead); found != storage.end()) return *found;
  }
  return storage.emplace_back();
}

}  // namespace

CUstream_st* Machine::resolve(cudaStream_t stream, int device) {
  if (stream == nullptr || stream == cudaStreamLegacy) return &streams_[static_cast<std::size_t>(device)];
  const auto found = std::find_if(streams_.begin(), streams_.end(), [stream](auto& each) { return &each == stream; });
  return found != streams_.end() && found->alive && !found->legacy ? &*found : nullptr;
}

cudaStream_t Machine::create_stream(int device, bool blocking) {
  if (!may_allocate()) return nullptr;
  CUstream_st& stream = place_for(streams_);
  stream = {.device = device, .blocking = blocking, .queue = {}};
  return &stream;
}

cudaEvent_t Machine::create_event(int device, bool timed) {
  if (!may_allocate()) return nullptr;
  CUevent_st& event = place_for(events_);
  event = {.device = device, .timed = timed, .mark = {}};
  return &event;
}

bool Machine::owns(cudaEvent_t event) const {
  return std::any_of(events_.begin(), events_.end(),
                     [event](const auto& each) { return &each == event && each.alive; });
}

void Machine::destroy(CUstream_st* stream) { stream->alive = false; }

void Machine::destroy(CUevent_st* event) {
  event->alive = false;
  event->mark = nullptr;
}

void Machine::push(CUstream_st& stream, std::function<void()> run, std::shared_ptr<const Mark> waits_for) {
  stream.queue.push_back({++next_sequence_, std::move(waits_for), std::move(run)});
  // Now and then some work runs at once: a host that relies on lateness is wrong too.
  int eager = detail::random_index(random_, 8) == 0 ? 3 : 0;
  if (!executing_) static_cast<void>(advance([&eager] { return eager-- <= 0; }));
}

bool Machine::runnable(const CUstream_st& stream) const {
  if (stream.queue.empty()) return false;
  const Task& next = stream.queue.front();
  if (next.waits_for && !next.waits_for->reached) return false;
  const auto earlier = [&next](const CUstream_st& other) {
    return !other.queue.empty() && other.queue.front().sequence < next.sequence;
  };
  if (!stream.legacy) return !stream.blocking || !earlier(streams_[static_cast<std::size_t>(stream.device)]);
  return std::none_of(streams_.begin(), streams_.end(), [&](const CUstream_st& other) {
    return &other != &stream && other.device == stream.device && other.blocking && earlier(other);
  });
}

CUstream_st* Machine::pick() {
  std::vector<CUstream_st*> ready;
  for (CUstream_st& stream : streams_) {
    if (runnable(stream)) ready.push_back(&stream);
  }
  if (ready.empty()) return nullptr;
  switch (options().order) {
    case Order::forward:
      return ready.front();
    case Order::reverse:
      return ready.back();
    case Order::random:
      break;
  }
  return ready[detail::random_index(random_, ready.size())];
}

void Machine::execute(CUstream_st& stream) {
  const Task task = std::move(stream.queue.front());
  stream.queue.pop_front();
  executing_ = true;
  open_device_memory(true);
  try {
    task.run();
  } catch (const Fault& e) {
    fault(e.status, e.what());
  } catch (const Error& e) {
    fault(cudaErrorLaunchFailure, e.what());
  }
  open_device_memory(false);
  executing_ = false;
}

cudaError_t Machine::advance(const std::function<bool()>& done) {
  while (sticky_ == cudaSuccess && !done()) {
    CUstream_st* const stream = pick();
    if (stream == nullptr) break;
    execute(*stream);
  }
  return sticky_;
}

cudaError_t Machine::drain_all() {
  return advance([this] {
    return std::all_of(streams_.begin(), streams_.end(), [](const CUstream_st& each) { return each.queue.empty(); });
  });
}

void Machine::fault(cudaError_t status, const std::string& text) {
  sticky_ = status;
  fault_text_ = text;
  forget_work();
}

void Machine::forget_work() {
  for (CUstream_st& stream : streams_) stream.queue.clear();
}

Machine::LaunchFate Machine::next_launch() {
  ++launches_;
  if (launch_countdown_ > 0 && --launch_countdown_ == 0) return LaunchFate::refused;
  if (fault_countdown_ > 0 && --fault_countdown_ == 0) return LaunchFate::faults;
  return LaunchFate::runs;
}

void Machine::reset() {
  forget_work();
  sticky_ = cudaSuccess;
  fault_text_.clear();
  memory_limit_ = kDefaultMemory;
  shared_limit_ = kSharedOptIn;
  multiprocessors_ = kMultiprocessors;
  allocation_countdown_ = launch_countdown_ = fault_countdown_ = eigensolve_countdown_ = 0;
  allocation_calls_ = launches_ = uploaded_bytes = 0;
  set_seed(options().seed);
}

void Machine::set_seed(std::uint64_t seed) {
  options().seed = seed;
  random_ = detail::random_state(seed);
}

Counts Machine::counts() const {
  Counts counts{};
  for (const auto& [base, allocation] : allocations_) {
    if (allocation.kind == MemoryKind::host) {
      ++counts.host_allocations;
    } else {
      ++counts.device_allocations;
      counts.device_bytes += static_cast<std::int64_t>(allocation.bytes);
    }
  }
  for (const CUstream_st& stream : streams_) counts.streams += stream.alive && !stream.legacy;
  for (const CUevent_st& event : events_) counts.events += event.alive;
  counts.handles = handles;
  counts.allocation_calls = allocation_calls_;
  counts.launches = launches_;
  counts.uploaded_bytes = uploaded_bytes;
  return counts;
}

}  // namespace simt

namespace {

/// A member function of the machine as a plain function under its lock.
template <auto member, class... Args>
void locked(Args... args) {
  const std::lock_guard lock(simt::machine().mutex);
  (simt::machine().*member)(args...);
}

}  // namespace

extern "C" const simt::Control* simt_control() {
  using simt::Machine;
  static const simt::Control control{
      .reset = locked<&Machine::reset>,
      .set_seed = locked<&Machine::set_seed>,
      .set_memory_limit = locked<&Machine::set_memory_limit>,
      .set_shared_limit = locked<&Machine::set_shared_limit>,
      .set_multiprocessors = locked<&Machine::set_multiprocessors>,
      .fail_allocation = locked<&Machine::fail_allocation>,
      .fail_launch = locked<&Machine::fail_launch>,
      .fault_launch = locked<&Machine::fault_launch>,
      .fail_eigensolve = locked<&Machine::fail_eigensolve>,
      .counts =
          [] {
            const std::lock_guard lock(simt::machine().mutex);
            return simt::machine().counts();
          },
      .fault = [] { return simt::machine().fault_text().c_str(); },
      .create_stream =
          [] {
            cudaStream_t stream = nullptr;
            cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking);
            return static_cast<void*>(stream);
          },
      .destroy_stream = [](void* stream) { cudaStreamDestroy(static_cast<cudaStream_t>(stream)); },
      .set_device = [](int index) { cudaSetDevice(index); },
      .device = [] { return simt::current_device(); },
      .last_error = [] { return static_cast<int>(cudaGetLastError()); },
  };
  return &control;
}
