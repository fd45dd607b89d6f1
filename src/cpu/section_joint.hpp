// Joint and direct plans: rows are samples; the layers above the joint one run for every pair of point and sample.
#pragma once

#include <memory>

#include <lossatlas/dataset.hpp>
#include <lossatlas/progress.hpp>

#include "backend/backend.hpp"
#include "section/plan.hpp"

namespace lossatlas::cpu {

/// Prepares a joint or direct plan in precision T.
template <class T>
std::unique_ptr<DeviceSection> pair_section(const SectionPlan& plan, const Dataset& data, int threads,
                                            const Control& control);

}  // namespace lossatlas::cpu
