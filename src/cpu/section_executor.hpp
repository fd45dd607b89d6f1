// Section plans on the CPU: fused SIMD kernels on several threads. Bits depend on the plan, the data and the SIMD
// target, never on the number of threads or on how points are divided among calls.
#pragma once

#include <memory>
#include <span>

#include <lossatlas/dataset.hpp>
#include <lossatlas/device.hpp>
#include <lossatlas/progress.hpp>

#include "backend/backend.hpp"
#include "section/plan.hpp"

namespace lossatlas::cpu {

/// The precision in which a plan runs: a quadratic one always in f64, fast in f32.
Precision section_precision(const SectionPlan& plan, Precision asked);

/// Prepares a plan for `threads` threads; the arguments other than `control` outlive it. This and the section's calls
/// throw Interrupted, OutOfMemory.
std::unique_ptr<DeviceSection> make_section(const SectionPlan& plan, const Dataset& data,
                                            const LabelStatistics& statistics, Precision precision, int threads,
                                            const Control& control);

/// outputs (G, H·C) of a sample-free plan at points (G, z), in f64. Throws Interrupted, OutOfMemory.
void section_outputs(const SectionPlan& plan, std::span<const double> points, int threads, const Control& control,
                     std::span<double> outputs);

}  // namespace lossatlas::cpu
