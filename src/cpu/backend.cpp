#include "backend/backend.hpp"

#include <new>
#include <stdexcept>
#include <utility>

#include "base/check.hpp"
#include "cpu/gradient.hpp"
#include "cpu/hessian.hpp"
#include "cpu/last_layer.hpp"
#include "cpu/rates.hpp"
#include "cpu/section_executor.hpp"

namespace lossatlas::cpu {
namespace {

[[noreturn]] void throw_out_of_memory(const char* function, std::int64_t bytes) {
  throw OutOfMemory(message(function, "received a problem that needs about ", bytes,
                            " bytes, expected one that fits the memory; use fewer samples or a narrower network"),
                    bytes);
}

/// Returns operation(); turns a failed allocation into an OutOfMemory with the bytes needed.
template <class Operation>
auto allocating(const char* function, std::int64_t bytes, Operation&& operation) {
  try {
    return operation();
  } catch (const std::bad_alloc&) {
    throw_out_of_memory(function, bytes);
  } catch (const std::length_error&) {
    throw_out_of_memory(function, bytes);
  }
}

class CpuLandscape final : public DeviceLandscape {
 public:
  CpuLandscape(Network network, Dataset data, Loss loss, int threads)
      : network_(std::move(network)),
        data_(std::move(data)),
        statistics_(label_statistics(data_)),
        loss_(loss),
        threads_(threads) {}

  Precision section_precision(const SectionPlan& plan, Precision asked) const override {
    return cpu::section_precision(plan, asked);
  }

  std::unique_ptr<DeviceSection> section(const SectionPlan& plan, Precision precision,
                                         const Control& control) const override {
    return make_section(plan, data_, statistics_, precision, threads_, control);
  }

  void section_outputs(const SectionPlan& plan, std::span<const double> points, const Control& control,
                       std::span<double> outputs) const override {
    cpu::section_outputs(plan, points, threads_, control, outputs);
  }

  void evaluate(std::span<const double> theta, const Control& control, std::span<double> losses,
                std::span<double> accuracy) const override {
    allocating("evaluate", evaluate_bytes(problem()),
               [&] { cpu::evaluate(problem(), theta, control, losses, accuracy); });
  }

  void gradient(std::span<const double> theta, std::int64_t first, std::int64_t last, const Control& control,
                std::span<double> gradient) const override {
    allocating("gradient", gradient_bytes(problem()),
               [&] { cpu::gradient(problem(), theta, first, last, control, gradient); });
  }

  void gauss_newton_product(std::span<const double> theta, std::span<const double> v, const Control& control,
                            std::span<double> product) const override {
    allocating("gauss_newton_product", gradient_bytes(problem()),
               [&] { cpu::gauss_newton_product(problem(), theta, v, control, product); });
  }

  LastLayer solve_last_layer(std::span<const double> theta, double ridge, const Control& control) const override {
    return allocating("solve_last_layer", last_layer_bytes(problem()),
                      [&] { return cpu::solve_last_layer(problem(), theta, ridge, control); });
  }

  void hessian(std::span<const double> theta, HessianPart part, const Control& control,
               std::span<double> hessian) const override {
    allocating("hessian", hessian_bytes(problem(), part),
               [&] { cpu::hessian(problem(), theta, part, control, hessian); });
  }

  void hessian_products(std::span<const double> theta, HessianPart part, std::span<const double> vectors,
                        const Control& control, std::span<double> products) const override {
    const std::int64_t count = static_cast<std::int64_t>(vectors.size()) / network_.parameter_count();
    allocating("hessian_products", hessian_products_bytes(problem(), count),
               [&] { cpu::hessian_products(problem(), theta, part, vectors, control, products); });
  }

  double hessian_spectrum_bytes(HessianPart part, bool vectors) const override {
    return cpu::hessian_spectrum_bytes(problem(), part, vectors);
  }

 private:
  Problem problem() const { return {network_, data_, loss_, threads_}; }

  Network network_;
  Dataset data_;
  LabelStatistics statistics_;
  Loss loss_;
  int threads_;
};

class CpuBackend final : public Backend {
 public:
  explicit CpuBackend(int threads) : threads_(threads) {}

  std::string describe() const override {
    return "cpu, " + std::to_string(threads_) + (threads_ == 1 ? " thread, " : " threads, ") + simd_target_name();
  }

  std::unique_ptr<DeviceLandscape> landscape(const Network& network, const Dataset& data, Loss loss) const override {
    return std::make_unique<CpuLandscape>(network, data, loss, threads_);
  }

  DeviceRates rates(Precision precision, const Control& control) const override {
    return allocating("measure_rates", static_cast<std::int64_t>(rates_bytes(threads_)),
                      [&] { return measure_rates(precision, threads_, control); });
  }

 private:
  int threads_;
};

}  // namespace

std::shared_ptr<const Backend> make_backend(int threads) {
  require(threads > 0, "make_backend", "received ", threads, " threads, expected at least 1; use Device::cpu()");
  return std::make_shared<CpuBackend>(threads);
}

}  // namespace lossatlas::cpu
