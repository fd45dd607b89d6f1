#include "model/labels.hpp"

#include <algorithm>
#include <cmath>
#include <set>

#include "base/check.hpp"

namespace lossatlas {
namespace {

/// Whether the targets are one whole number per sample: then they are probably labels.
bool looks_like_labels(const Dataset& data) {
  const auto whole = [](double value) { return value == std::floor(value); };
  return !data.has_labels() && data.outputs() == 1 && std::ranges::all_of(data.targets(), whole);
}

void require_labels_below(const Dataset& data, std::int64_t outputs, std::string_view function) {
  for (std::int64_t n = 0; n < data.size(); ++n) {
    const auto i = static_cast<std::size_t>(n);
    const double label = data.has_labels() ? data.labels()[i] : data.targets()[i];
    if (label >= 0 && label < static_cast<double>(outputs)) continue;
    const std::string classes = data.has_labels() ? std::to_string(data.outputs()) + " classes, " : "";
    throw InvalidArgument(
        message(function, "received data \"", data.name(), "\" with ", classes, label_out_of_range(label, n, outputs)));
  }
}

void refuse_unread_labels(const Dataset& data, std::int64_t classes, std::string_view function) {
  require_labels_below(data, classes, function);
  throw InvalidArgument(message(function, "received data \"", data.name(), "\" with whole numbers as real targets, ",
                                "expected labels; a CSV file's are told by a sample of each class from 0 or by ",
                                "csv:FILE,classes=A,B,..., those of an .npy file by an integer type"));
}

void require_distributions(const Dataset& data, std::string_view function) {
  for (std::int64_t n = 0; n < data.size(); ++n) {
    double sum = 0;
    bool positive = true;
    for (std::int64_t c = 0; c < data.outputs(); ++c) {
      sum += data.target(n, c);
      positive = positive && data.target(n, c) >= 0;
    }
    require(positive && std::abs(sum - 1) <= 1e-9, function, "received targets of sample ", n, " with sum ", sum,
            positive ? "" : " and a negative entry",
            ", expected a label distribution for cross entropy; use labels or mean squared error");
  }
}

}  // namespace

std::string label_out_of_range(double label, std::int64_t sample, std::int64_t classes) {
  return text_of("label ", label, " of sample ", sample, ", expected 0 to ", classes - 1,
                 ": labels start at 0; number the classes from 0, name them in order (csv:FILE,classes=A,B,...), or "
                 "add ,real to csv: or npy: for real targets");
}

void require_targets(const Dataset& data, Loss loss, std::int64_t outputs, std::string_view function) {
  const bool cross_entropy = loss == Loss::cross_entropy;
  if (data.has_labels()) {
    if (data.outputs() == outputs) return;
    if (outputs > 1) require_labels_below(data, outputs, function);
    throw InvalidArgument(message(function, "received data \"", data.name(), "\" with ", data.outputs(),
                                  " classes, expected the network's ", outputs, " outputs per head",
                                  cross_entropy ? "; cross entropy takes an output for each class"
                                                : "; add ,real to csv: or npy: to take numbers as real targets"));
  }
  if (outputs > 1 && looks_like_labels(data)) refuse_unread_labels(data, outputs, function);
  require(data.outputs() == outputs, function, "received data \"", data.name(), "\" with ", data.outputs(),
          " targets, expected the network's ", outputs, " outputs per head");
  if (cross_entropy) require_distributions(data, function);
}

void require_no_unread_labels(const Dataset& data, Loss loss, std::string_view function) {
  if (loss != Loss::cross_entropy || !looks_like_labels(data)) return;
  const std::set<double> classes(data.targets().begin(), data.targets().end());
  if (classes.size() > 1) refuse_unread_labels(data, std::ssize(classes), function);
}

}  // namespace lossatlas
