// Sections of networks that are no chain of dense layers, on a CUDA device: step by step in f64 or f32.
#pragma once

#include <memory>
#include <span>

#include <lossatlas/progress.hpp>

#include "backend/backend.hpp"
#include "cuda/problem.hpp"
#include "cuda/workspace.hpp"
#include "section/plan.hpp"

namespace lossatlas::cuda {

/// Prepares a sample-free, joint or direct plan with plan.graph.
template <class T>
std::unique_ptr<DeviceSection> graph_section(Workspace& workspace, const Problem& problem, const SectionPlan& plan,
                                             const Control& control);

/// outputs (G, H·C) of a sample-free plan with plan.graph at points (G, z), f64.
void graph_outputs(Workspace& workspace, const SectionPlan& plan, std::span<const double> points,
                   const Control& control, std::span<double> outputs);

}  // namespace lossatlas::cuda
