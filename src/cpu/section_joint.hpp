// Joint and direct plans: rows are samples; the layers above the joint one run for every pair of point and sample.
#pragma once

#include <cstdint>
#include <span>

#include <lossatlas/dataset.hpp>
#include <lossatlas/progress.hpp>

#include "plan.hpp"

namespace lossatlas::cpu {

/// Bytes of A_d (direct: of the inputs) and of the packed later layers in precision T.
template <class T>
std::int64_t pair_bytes(const SectionPlan& plan, const Dataset& data);

/// losses (G, H) at points (G, z) of a joint or direct plan.
template <class T>
void pair_losses(const SectionPlan& plan, const Dataset& data, std::span<const double> points, int threads,
                 const Control& control, std::span<double> losses);

}  // namespace lossatlas::cpu
