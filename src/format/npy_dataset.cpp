#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include <lossatlas/array.hpp>
#include <lossatlas/dataset_io.hpp>

#include "file/file_context.hpp"
#include "model/labels.hpp"

namespace lossatlas {
namespace {

void require_finite_file(const Array& array, const FileContext& context) {
  const auto wrong =
      std::find_if_not(array.values.begin(), array.values.end(), [](double v) { return std::isfinite(v); });
  context.require(wrong == array.values.end(), "with entry ", wrong - array.values.begin(), " = ",
                  wrong == array.values.end() ? 0.0 : *wrong, ", expected finite values");
}

std::vector<std::int32_t> to_labels(const Array& array, const FileContext& context) {
  constexpr std::int64_t kMaxClasses = 1000;
  std::vector<std::int32_t> labels;
  for (std::size_t n = 0; n < array.values.size(); ++n) {
    const double value = array.values[n];
    context.require(value >= 0 && value < kMaxClasses, "with ",
                    label_out_of_range(value, static_cast<std::int64_t>(n), kMaxClasses));
    labels.push_back(static_cast<std::int32_t>(value));
  }
  return labels;
}

}  // namespace

Dataset read_npy_dataset(const std::filesystem::path& inputs, const std::filesystem::path& targets,
                         NpyDatasetOptions options) {
  const FileContext input_context{inputs, "read_npy_dataset"};
  const FileContext target_context{targets, "read_npy_dataset"};
  Array x = read_npy(inputs);
  input_context.require(!x.shape.empty() && x.size() > 0, "of an empty shape, expected inputs (N, ...) with N >= 1");
  require_finite_file(x, input_context);
  Array y = read_npy(targets);
  const bool real = !y.integral || options.real;
  const bool column = y.shape.size() == 2 && y.shape[1] == 1;
  target_context.require(y.size() > 0 && (y.shape.size() == 1 || column || (y.shape.size() == 2 && real)), "of ",
                         y.shape.size(), " axes and ", y.size(), y.integral ? " integers" : " floats",
                         ", expected integer labels (N) or (N, 1), or real targets (N) or (N, C)",
                         y.integral && !real ? "; add ,real to take integers as real targets" : "");
  require_finite_file(y, target_context);
  const std::int64_t count = x.shape.front();
  target_context.require(y.shape.front() == count, "with ", y.shape.front(), " targets, expected the ", count, " of ",
                         display(inputs));
  const std::int64_t features = x.size() / count;
  const std::string name = inputs.stem().string();
  if (real) {
    const std::int64_t outputs = y.size() / count;
    return Dataset::regression(std::move(x.values), features, std::move(y.values), outputs, name);
  }
  std::vector<std::int32_t> labels = to_labels(y, target_context);
  const std::int32_t top = *std::max_element(labels.begin(), labels.end());
  return Dataset::classification(std::move(x.values), features, std::move(labels), top + 1, name);
}

}  // namespace lossatlas
