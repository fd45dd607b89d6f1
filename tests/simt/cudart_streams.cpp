// The CUDA runtime's streams, events and launches.
#include <cuda_runtime_api.h>

#include "machine.hpp"

namespace simt {
namespace {

/// Runs `f` on the stream's queue.
template <class F>
cudaError_t with_stream(cudaStream_t stream, F f) {
  return call([&](Machine& m) {
    CUstream_st* const queue = m.resolve(stream, current_device());
    return queue ? f(m, *queue) : cudaErrorInvalidResourceHandle;
  });
}

template <class F>
cudaError_t with_event(cudaEvent_t event, F f) {
  return call([&](Machine& m) { return m.owns(event) ? f(m) : cudaErrorInvalidResourceHandle; });
}

bool valid_shape(const KernelCall& call) {
  const dim3 g = call.grid, b = call.block;
  const std::size_t threads = call.threads();
  return threads >= 1 && threads <= 1024 && b.z <= 64 && g.x >= 1 && g.x <= 0x7fffffffu && g.y >= 1 && g.y <= 65535 &&
         g.z >= 1 && g.z <= 65535;
}

std::vector<Use> uses_of(const Machine& m, const KernelCall& call) {
  std::vector<Use> uses;
  for (const void* pointer : call.pointers) uses.push_back(m.use(pointer, 0));
  for (const std::uintptr_t word : call.words) {  // pointers inside structures
    const auto* const pointer = reinterpret_cast<const void*>(word);
    const Allocation* const allocation = m.find(pointer);
    if (allocation && word - allocation->base < allocation->bytes) uses.push_back(m.use(pointer, 0));
  }
  return uses;
}

cudaError_t launch(Machine& m, KernelCall kernel, cudaStream_t stream) {
  CUstream_st* const queue = m.resolve(stream, current_device());
  if (queue == nullptr || queue->device != current_device()) return cudaErrorInvalidResourceHandle;
  if (!valid_shape(kernel)) return cudaErrorInvalidConfiguration;
  const auto asked = m.shared_opt_in.find({current_device(), kernel.kernel});
  const std::size_t most_shared = asked == m.shared_opt_in.end() ? kSharedByDefault : asked->second;
  if (kernel.shared_bytes > most_shared) return cudaErrorInvalidValue;
  const Machine::LaunchFate fate = m.next_launch();
  if (fate == Machine::LaunchFate::refused) return cudaErrorLaunchOutOfResources;
  m.push(*queue, [&m, fate, uses = uses_of(m, kernel), kernel = std::move(kernel)] {
    for (const Use& use : uses) m.verify(use, "a kernel", kernel.site);
    throw_if_planted(fate);
    try {
      run(kernel);
    } catch (const Error& e) {
      throw Fault(cudaErrorLaunchFailure, std::string(e.what()) + "\n  launched at " + kernel.site.file_name() + ":" +
                                              std::to_string(kernel.site.line()));
    }
    m.check_guards(kernel.site);
  });
  return cudaSuccess;
}

}  // namespace

cudaError_t enqueue(KernelCall kernel, cudaStream_t stream) {
  return call([&](Machine& m) { return launch(m, std::move(kernel), stream); });
}

cudaError_t enqueue(std::function<void()> work, std::vector<const void*> pointers, cudaStream_t stream, Site site) {
  return with_stream(stream, [&](Machine& m, CUstream_st& queue) {
    const Machine::LaunchFate fate = m.next_launch();
    if (fate == Machine::LaunchFate::refused) return cudaErrorLaunchOutOfResources;
    std::vector<Use> uses;
    for (const void* pointer : pointers) uses.push_back(m.use(pointer, 0));
    m.push(queue, [&m, fate, uses, work = std::move(work), site] {
      for (const Use& use : uses) m.verify(use, "an algorithm", site);
      throw_if_planted(fate);
      work();
    });
    return cudaSuccess;
  });
}

}  // namespace simt

using simt::call;
using simt::Machine;
using simt::with_event;
using simt::with_stream;

extern "C" {

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags) {
  if (stream == nullptr || flags > cudaStreamNonBlocking) return simt::remember(cudaErrorInvalidValue);
  return call([&](Machine& m) {
    *stream = m.create_stream(simt::current_device(), flags == cudaStreamDefault);
    return *stream ? cudaSuccess : cudaErrorMemoryAllocation;
  });
}
cudaError_t cudaStreamCreate(cudaStream_t* stream) { return cudaStreamCreateWithFlags(stream, cudaStreamDefault); }
cudaError_t cudaStreamCreateWithPriority(cudaStream_t* stream, unsigned flags, int) {
  return cudaStreamCreateWithFlags(stream, flags);
}

/// What is queued runs nevertheless. Streams go after a fault too.
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  const std::lock_guard lock(simt::machine().mutex);
  CUstream_st* const queue = simt::machine().resolve(stream, simt::current_device());
  if (queue == nullptr || queue->legacy) return simt::remember(cudaErrorInvalidResourceHandle);
  simt::machine().destroy(queue);
  return simt::remember(simt::machine().sticky());
}

cudaError_t cudaStreamGetFlags(cudaStream_t stream, unsigned* flags) {
  return with_stream(stream, [&](Machine&, CUstream_st& queue) {
    *flags = queue.blocking ? cudaStreamDefault : cudaStreamNonBlocking;
    return cudaSuccess;
  });
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  return with_stream(stream, [](Machine& m, CUstream_st& queue) { return m.drain(queue); });
}

/// A query gives the device a little time.
cudaError_t cudaStreamQuery(cudaStream_t stream) {
  return with_stream(stream, [](Machine& m, CUstream_st& queue) {
    const cudaError_t status = m.advance([steps = 2]() mutable { return steps-- == 0; });
    if (status != cudaSuccess) return status;
    return queue.queue.empty() ? cudaSuccess : cudaErrorNotReady;
  });
}

cudaError_t cudaDeviceSynchronize() {
  return call([](Machine& m) { return m.drain_all(); });
}

cudaError_t cudaLaunchHostFunc(cudaStream_t stream, cudaHostFn_t function, void* data) {
  return with_stream(stream, [&](Machine& m, CUstream_st& queue) {
    if (function == nullptr) return cudaErrorInvalidValue;
    m.push(queue, [=] { function(data); });
    return cudaSuccess;
  });
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags) {
  if (event == nullptr || flags > (cudaEventBlockingSync | cudaEventDisableTiming)) {
    return simt::remember(cudaErrorInvalidValue);
  }
  return call([&](Machine& m) {
    *event = m.create_event(simt::current_device(), (flags & cudaEventDisableTiming) == 0);
    return *event ? cudaSuccess : cudaErrorMemoryAllocation;
  });
}
cudaError_t cudaEventCreate(cudaEvent_t* event) { return cudaEventCreateWithFlags(event, cudaEventDefault); }

cudaError_t cudaEventDestroy(cudaEvent_t event) {
  const std::lock_guard lock(simt::machine().mutex);
  if (!simt::machine().owns(event)) return simt::remember(cudaErrorInvalidResourceHandle);
  simt::machine().destroy(event);
  return simt::remember(simt::machine().sticky());
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  return with_stream(stream, [&](Machine& m, CUstream_st& queue) {
    if (!m.owns(event) || event->device != queue.device) return cudaErrorInvalidResourceHandle;
    const auto mark = event->mark = std::make_shared<simt::Mark>();
    m.push(queue, [mark] {
      mark->time = std::chrono::steady_clock::now();
      mark->reached = true;
    });
    return cudaSuccess;
  });
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned flags) {
  return with_stream(stream, [&](Machine& m, CUstream_st& queue) {
    if (!m.owns(event)) return cudaErrorInvalidResourceHandle;
    if (flags != 0) return cudaErrorInvalidValue;
    if (event->mark)
      m.push(
          queue, [] {}, event->mark);
    return cudaSuccess;
  });
}

cudaError_t cudaEventQuery(cudaEvent_t event) {
  return with_event(event, [&](Machine& m) {
    const cudaError_t status = m.advance([steps = 2]() mutable { return steps-- == 0; });
    if (status != cudaSuccess) return status;
    return !event->mark || event->mark->reached ? cudaSuccess : cudaErrorNotReady;
  });
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  return with_event(event,
                    [&](Machine& m) { return m.advance([mark = event->mark] { return !mark || mark->reached; }); });
}

cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t start, cudaEvent_t end) {
  return with_event(start, [&](Machine& m) {
    if (!m.owns(end) || !start->timed || !end->timed || !start->mark || !end->mark) {
      return cudaErrorInvalidResourceHandle;
    }
    if (!start->mark->reached || !end->mark->reached) return cudaErrorNotReady;
    *milliseconds = std::chrono::duration<float, std::milli>(end->mark->time - start->mark->time).count();
    return cudaSuccess;
  });
}

}  // extern "C"
