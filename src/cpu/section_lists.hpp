// The two lists whose values cross over to the pairs: those that depend only on the grid point (lanes are points), and
// those that depend only on the sample (lanes are samples; computed once per call, in f64).
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include <lossatlas/dataset.hpp>
#include <lossatlas/progress.hpp>

#include "cpu/section_pack.hpp"
#include "section/graph_plan.hpp"

namespace lossatlas::cpu {

/// The values of a list of steps on a strip, in buffers (width, R) that later values reuse.
template <class T>
class ListMemory {
 public:
  /// `width`: the most units of a value, and of anything else in its buffer.
  ListMemory(ValueSlots slots, std::int64_t width, std::int64_t rows) : slots_(std::move(slots)), size_(width * rows) {}

  /// Values of scratch memory: one buffer for each value that lives at the same time, and a spare one.
  std::int64_t scratch() const { return (slots_.count + 1) * size_; }
  T* of(std::int32_t value, T* scratch) const { return scratch + slots_.of(value) * size_; }
  T* spare(T* scratch) const { return scratch + slots_.count * size_; }

 private:
  ValueSlots slots_;
  std::int64_t size_;
};

/// Runs a step: multiply(input, output) on the value that its layer takes, or an addition; value(k) is where value k
/// is, null if there is none.
template <class T, class Value, class Multiply>
void run_step(const SectionKernels<T>& kernels, const PlanStep& step, Value&& value, T* output, Multiply&& multiply) {
  if (!step.adds()) return multiply(step.inputs.empty() ? nullptr : value(step.inputs.front()), output);
  std::array<const T*, 8> few;
  std::vector<const T*> many;
  if (step.inputs.size() > few.size()) many.resize(step.inputs.size());
  const T** terms = many.empty() ? few.data() : many.data();
  for (std::size_t i = 0; i < step.inputs.size(); ++i) terms[i] = value(step.inputs[i]);
  kernels.add(terms, std::ssize(step.inputs), step.out, step.activation, output);
}

/// A list evaluated at R grid points at a time. A moving layer becomes one product with fixed weights: its inputs a are
/// followed by α_d a for each direction d of the weights and by α_d for each direction of the bias,
///   W(α) a + b(α) = [W_0 W_1 .. W_k | b_1 .. b_q] [a; α_1 a; ..; α_k a; α_1; ..; α_q] + b_0.
template <class T>
class PointList {
 public:
  /// The plan of the lists outlives this object.
  PointList(const SectionKernels<T>& kernels, const PlanLists& lists, const Control& control);

  /// Values of scratch memory that run() needs.
  std::int64_t scratch() const { return memory_.scratch(); }
  /// Computes all values at alpha (z, R) in `scratch`.
  void run(const T* alpha, T* scratch) const;
  /// An offset, or the last value (units, R).
  const T* value(std::int32_t index, T* scratch) const { return memory_.of(index, scratch); }
  const T* last(T* scratch) const { return value(static_cast<std::int32_t>(steps_.size()) - 1, scratch); }

 private:
  static std::int64_t width_of(std::span<const PlanStep> steps);

  const SectionKernels<T>* kernels_;
  std::vector<PlanStep> steps_;
  ListMemory<T> memory_;
  std::vector<std::unique_ptr<PackedParts<T>>> products_;  ///< of each step; null for an addition
};

/// Writes at most R points (·, z) to alpha (z, R); rows past the last repeat it.
template <class T>
void load_points(std::span<const double> points, std::int64_t rank, std::int64_t rows, T* alpha);

/// The sample list, R samples at a time, in f64.
class SampleList {
 public:
  /// The plan of the lists, and the data, outlive this object.
  SampleList(const PlanLists& lists, const Dataset& data, const Control& control);

  std::int64_t rows() const { return kernels_->rows; }  ///< R
  std::int64_t scratch() const { return memory_.scratch(); }

  /// Calls use(index, value (units, R)) for x, with index −1, and each value in turn at samples first..first+R−1; rows
  /// past the data repeat the last sample.
  void strip(std::int64_t first, const Control& control, double* scratch,
             const std::function<void(std::int32_t index, const double* value)>& use) const;

 private:
  static std::int64_t width_of(std::span<const PlanStep> steps, std::int64_t features);

  const SectionKernels<double>* kernels_;
  const Dataset* data_;
  std::vector<PlanStep> steps_;
  ListMemory<double> memory_;
  std::map<const ChainLayer*, std::unique_ptr<PackedParts<double>>> layers_;
};

/// Writes samples first..first+R−1 to x (d, R); rows past the data repeat the last sample.
template <class T>
void load_inputs(const Dataset& data, std::int64_t first, std::int64_t rows, T* x);

}  // namespace lossatlas::cpu
