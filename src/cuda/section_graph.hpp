// Joint and direct plans of networks that are no chain of dense layers, on a CUDA device: step by step in f64 or f32.
#pragma once

#include <memory>

#include <lossatlas/progress.hpp>

#include "backend/backend.hpp"
#include "cuda/problem.hpp"
#include "cuda/workspace.hpp"
#include "section/plan.hpp"

namespace lossatlas::cuda {

/// Prepares a plan with plan.graph.
template <class T>
std::unique_ptr<DeviceSection> graph_section(Workspace& workspace, const Problem& problem, const SectionPlan& plan,
                                             const Control& control);

}  // namespace lossatlas::cuda
