// What labels may be; one set of rules and messages wherever data meet classes or outputs.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include <lossatlas/dataset.hpp>
#include <lossatlas/loss.hpp>

namespace lossatlas {

/// Such as "label 3 of sample 7, expected 0 to 2: labels start at 0; ...", with what to do.
std::string label_out_of_range(double label, std::int64_t sample, std::int64_t classes);

/// Throws InvalidArgument unless the targets suit `loss` with `outputs` outputs: labels below that number, that many
/// real targets, or label distributions for cross entropy.
void require_targets(const Dataset& data, Loss loss, std::int64_t outputs, std::string_view function);

/// Throws InvalidArgument if cross entropy meets real targets that look like labels, which distributions cannot.
void require_no_unread_labels(const Dataset& data, Loss loss, std::string_view function);

}  // namespace lossatlas
