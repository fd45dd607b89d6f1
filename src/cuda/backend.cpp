#include "backend/backend.hpp"

#include <cstdio>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <type_traits>

#include "backend/cuda_module.hpp"
#include "base/check.hpp"
#include "cuda/gradient.hpp"
#include "cuda/hessian.hpp"
#include "cuda/last_layer.hpp"
#include "cuda/rates.hpp"
#include "cuda/section.hpp"

namespace lossatlas::cuda {
namespace {

std::string describe(int index);

/// Everything that belongs to one landscape on the device.
struct DeviceState {
  DeviceState(const Network& network, const Dataset& data, Loss loss, int index, cudaStream_t of_caller)
      : stream(of_caller), memory(stream.get()), problem(network, data, loss, memory), pool(index, of_caller) {
    memory.settle();
  }

  Stream stream;
  Memory memory;
  Problem problem;
  WorkspacePool pool;
};

/// Destroys an object while its device is the current one; a destructor cannot report what fails.
template <class Object>
void destroy_on(int index, std::unique_ptr<Object>& object) noexcept {
  int previous = 0;
  const bool known = cudaGetDevice(&previous) == cudaSuccess;
  cudaSetDevice(index);
  object.reset();
  if (known) cudaSetDevice(previous);
}

/// A section with a workspace that it keeps for its whole life.
class CudaSection final : public DeviceSection {
 public:
  /// The caller has made the device the current one.
  CudaSection(int index, WorkspacePool& pool, const Problem& problem, const SectionPlan& plan, Precision precision,
              const Control& control)
      : index_(index), lease_(pool.lend()) {
    (*lease_).forget_parameters();  // a section keeps its workspace, but has no use for θ
    section_ = make_section(*lease_, problem, plan, precision, control);
  }

  ~CudaSection() override { destroy_on(index_, section_); }

  void losses(const SectionPoints& points, const Control& control, std::span<double> losses) override {
    const DeviceGuard guard(index_);
    section_->losses(points, control, losses);
  }

 private:
  int index_;
  WorkspacePool::Lease lease_;
  std::unique_ptr<DeviceSection> section_;
};

class CudaLandscape final : public DeviceLandscape {
 public:
  CudaLandscape(const Network& network, const Dataset& data, Loss loss, int index, cudaStream_t of_caller)
      : index_(index) {
    const DeviceGuard guard(index);
    state_ = std::make_unique<DeviceState>(network, data, loss, index, of_caller);
  }

  ~CudaLandscape() override { destroy_on(index_, state_); }

  Precision section_precision(const SectionPlan& plan, Precision asked) const override {
    return cuda::section_precision(state_->pool.limits(), problem(), plan, asked);
  }

  std::unique_ptr<DeviceSection> section(const SectionPlan& plan, Precision precision,
                                         const Control& control) const override {
    const DeviceGuard guard(index_);
    return std::make_unique<CudaSection>(index_, state_->pool, problem(), plan, precision, control);
  }

  void section_outputs(const SectionPlan& plan, std::span<const double> points, const Control& control,
                       std::span<double> outputs) const override {
    run([&](Workspace& workspace) { cuda::section_outputs(workspace, plan, points, control, outputs); });
  }

  void evaluate(std::span<const double> theta, const Control& control, std::span<double> losses,
                std::span<double> accuracy) const override {
    run([&](Workspace& workspace) { cuda::evaluate(workspace, problem(), theta, control, losses, accuracy); });
  }

  void gradient(std::span<const double> theta, std::int64_t first, std::int64_t last, const Control& control,
                std::span<double> gradient) const override {
    run([&](Workspace& workspace) { cuda::gradient(workspace, problem(), theta, first, last, control, gradient); });
  }

  void gauss_newton_product(std::span<const double> theta, std::span<const double> v, const Control& control,
                            std::span<double> product) const override {
    run([&](Workspace& workspace) { cuda::gauss_newton_product(workspace, problem(), theta, v, control, product); });
  }

  LastLayer solve_last_layer(std::span<const double> theta, double ridge, const Control& control) const override {
    return run(
        [&](Workspace& workspace) { return cuda::solve_last_layer(workspace, problem(), theta, ridge, control); });
  }

  void hessian(std::span<const double> theta, HessianPart part, const Control& control,
               std::span<double> hessian) const override {
    run([&](Workspace& workspace) { cuda::hessian(workspace, problem(), theta, part, control, hessian); });
  }

  void hessian_products(std::span<const double> theta, HessianPart part, std::span<const double> vectors,
                        const Control& control, std::span<double> products) const override {
    run([&](Workspace& workspace) {
      cuda::hessian_products(workspace, problem(), theta, part, vectors, control, products);
    });
  }

  double hessian_spectrum_bytes(HessianPart part, bool vectors) const override {
    return run([&](Workspace& workspace) { return cuda::hessian_spectrum_bytes(workspace, problem(), part, vectors); });
  }

  std::optional<Spectrum> hessian_spectrum(std::span<const double> theta, HessianPart part, bool vectors,
                                           const Control& control) const override {
    Spectrum spectrum = run([&](Workspace& workspace) {
      return cuda::hessian_spectrum(workspace, problem(), theta, part, vectors, control);
    });
    spectrum.device = describe(index_);
    return spectrum;
  }

  std::optional<std::vector<Spectrum>> hessian_spectra(std::span<const double> thetas, HessianPart part, bool vectors,
                                                       const Control& control) const override {
    std::vector<Spectrum> spectra = run([&](Workspace& workspace) {
      return cuda::hessian_spectra(workspace, problem(), thetas, part, vectors, control);
    });
    const std::string device = describe(index_);
    for (Spectrum& one : spectra) one.device = device;
    return spectra;
  }

  std::optional<ShiftedFactor> hessian_factor(std::span<const double> theta, HessianPart part, const ShiftRule& shift,
                                              const Control& control) const override {
    const bool exists = run([&](Workspace& workspace) {
      return cuda::hessian_has_factor(workspace, problem(), theta, part, shift, control);
    });
    return ShiftedFactor{exists, describe(index_)};
  }

 private:
  const Problem& problem() const { return state_->problem; }

  /// Returns call(workspace), run on this landscape's device.
  template <class Call>
  std::invoke_result_t<Call, Workspace&> run(Call&& call) const {
    const DeviceGuard guard(index_);
    const WorkspacePool::Lease lease = state_->pool.lend();
    return call(*lease);
  }

  int index_;
  std::unique_ptr<DeviceState> state_;
};

class CudaBackend final : public Backend {
 public:
  CudaBackend(int index, cudaStream_t stream) : index_(index), stream_(stream) {}

  std::string describe() const override { return cuda::describe(index_); }

  std::unique_ptr<DeviceLandscape> landscape(const Network& network, const Dataset& data, Loss loss) const override {
    return std::make_unique<CudaLandscape>(network, data, loss, index_, stream_);
  }

  DeviceRates rates(Precision precision, const Control& control) const override {
    const DeviceGuard guard(index_);
    Workspace workspace(stream_, device_limits(index_));
    return measure_rates(workspace, precision, control);
  }

 private:
  int index_;
  cudaStream_t stream_;
};

int device_count() {
  int count = 0;
  const cudaError_t status = cudaGetDeviceCount(&count);
  if (status != cudaSuccess) cudaGetLastError();
  require<DeviceError>(status != cudaErrorInsufficientDriver, "Device::cuda",
                       "found no NVIDIA driver or one that is too old, expected one for CUDA ", CUDART_VERSION / 1000,
                       "; install or update it");
  require<DeviceError>(status != cudaErrorNoDevice && !(status == cudaSuccess && count == 0), "Device::cuda",
                       "found no NVIDIA GPU, expected at least one; check CUDA_VISIBLE_DEVICES or use Device::cpu()");
  check(status, "cudaGetDeviceCount", __FILE__, __LINE__);
  return count;
}

std::string version_text(int version) {
  return std::to_string(version / 1000) + '.' + std::to_string(version % 1000 / 10);
}

std::string describe(int index) {
  cudaDeviceProp properties{};
  int driver = 0, runtime = 0;
  LOSSATLAS_CUDA(cudaGetDeviceProperties(&properties, index));
  LOSSATLAS_CUDA(cudaDriverGetVersion(&driver));
  LOSSATLAS_CUDA(cudaRuntimeGetVersion(&runtime));
  char memory[32];
  std::snprintf(memory, sizeof memory, "%.1f GiB", static_cast<double>(properties.totalGlobalMem) / (1 << 30));
  return "cuda " + std::to_string(index) + ", " + properties.name + ", sm_" + std::to_string(properties.major) +
         std::to_string(properties.minor) + ", " + memory + ", driver " + version_text(driver) + ", runtime " +
         version_text(runtime);
}

std::shared_ptr<const Backend> make_backend(int index, void* stream) {
  const int count = device_count();
  require<DeviceError>(0 <= index && index < count, "Device::cuda", "received CUDA device ", index, ", expected 0 to ",
                       count - 1);
  return std::make_shared<CudaBackend>(index, static_cast<cudaStream_t>(stream));
}

}  // namespace
}  // namespace lossatlas::cuda

extern "C" LOSSATLAS_API const lossatlas::CudaModule* lossatlas_cuda_module() {
  static const lossatlas::CudaModule module = {lossatlas::kBackendAbi, LOSSATLAS_VERSION, lossatlas::cuda::device_count,
                                               lossatlas::cuda::describe, lossatlas::cuda::make_backend};
  return &module;
}
