#include <algorithm>
#include <cmath>

#include <lossatlas/dataset.hpp>

#include "base/check.hpp"

namespace lossatlas {

struct Dataset::Data {
  std::vector<double> inputs;
  std::vector<std::int32_t> labels;
  std::vector<double> targets;
  std::int64_t size = 0;
  std::int64_t features = 0;
  std::int64_t outputs = 0;
  std::string name;
  std::vector<std::string> class_names;
};

namespace {

constexpr std::int64_t kMaxClasses = std::int64_t{1} << 24;

/// N of inputs (N, features); throws unless it is a positive whole number.
std::int64_t sample_count(std::span<const double> inputs, std::int64_t features, std::string_view function) {
  require(features > 0, function, "received ", features, " features, expected at least 1");
  require(!inputs.empty(), function, "received no samples, expected at least 1");
  const auto size = static_cast<std::int64_t>(inputs.size());
  require(size % features == 0, function, "received ", size, " inputs, expected a multiple of ", features, " features");
  require_finite(inputs, function, "inputs");
  return size / features;
}

}  // namespace

Dataset Dataset::classification(std::vector<double> inputs, std::int64_t features, std::vector<std::int32_t> labels,
                                std::int64_t classes, std::string name) {
  constexpr std::string_view function = "Dataset::classification";
  const std::int64_t samples = sample_count(inputs, features, function);
  require(static_cast<std::int64_t>(labels.size()) == samples, function, "received ", labels.size(), " labels for ",
          samples, " samples, expected one each");
  require(classes >= 1 && classes <= kMaxClasses, function, "received ", classes, " classes, expected 1 to ",
          kMaxClasses);
  for (std::size_t n = 0; n < labels.size(); ++n) {
    require(labels[n] >= 0 && labels[n] < classes, function, "received label ", labels[n], " at sample ", n,
            ", expected 0 to ", classes - 1);
  }
  return Dataset(std::make_shared<const Data>(
      Data{std::move(inputs), std::move(labels), {}, samples, features, classes, std::move(name), {}}));
}

Dataset Dataset::regression(std::vector<double> inputs, std::int64_t features, std::vector<double> targets,
                            std::int64_t outputs, std::string name) {
  constexpr std::string_view function = "Dataset::regression";
  const std::int64_t samples = sample_count(inputs, features, function);
  require(outputs > 0, function, "received ", outputs, " outputs, expected at least 1");
  require(static_cast<std::int64_t>(targets.size()) % outputs == 0 &&
              static_cast<std::int64_t>(targets.size()) / outputs == samples,
          function, "received ", targets.size(), " targets, expected ", samples, " samples of ", outputs);
  require_finite(targets, function, "targets");
  return Dataset(std::make_shared<const Data>(
      Data{std::move(inputs), {}, std::move(targets), samples, features, outputs, std::move(name), {}}));
}

std::int64_t Dataset::size() const { return data_->size; }
std::int64_t Dataset::features() const { return data_->features; }
std::int64_t Dataset::outputs() const { return data_->outputs; }
bool Dataset::has_labels() const { return !data_->labels.empty(); }
const std::string& Dataset::name() const { return data_->name; }
const std::vector<std::string>& Dataset::class_names() const { return data_->class_names; }
std::span<const double> Dataset::inputs() const { return data_->inputs; }
std::span<const std::int32_t> Dataset::labels() const { return data_->labels; }
std::span<const double> Dataset::targets() const { return data_->targets; }

std::span<const double> Dataset::input(std::int64_t n) const {
  return inputs().subspan(static_cast<std::size_t>(n * features()), static_cast<std::size_t>(features()));
}

double Dataset::target(std::int64_t n, std::int64_t c) const {
  if (has_labels()) return data_->labels[static_cast<std::size_t>(n)] == c ? 1 : 0;
  return data_->targets[static_cast<std::size_t>(n * outputs() + c)];
}

Dataset Dataset::slice(std::int64_t first, std::int64_t last) const {
  require(first >= 0 && first < last && last <= size(), "Dataset::slice", "received ", first, ":", last,
          ", expected 0 <= first < last <= ", size());
  const auto part = [&](const auto& values, std::int64_t width) {
    using Values = std::decay_t<decltype(values)>;
    if (values.empty()) return Values{};
    return Values(values.begin() + first * width, values.begin() + last * width);
  };
  return Dataset(std::make_shared<const Data>(Data{part(data_->inputs, features()), part(data_->labels, 1),
                                                   part(data_->targets, outputs()), last - first, features(), outputs(),
                                                   name(), class_names()}));
}

Dataset Dataset::with_inputs(std::vector<double> inputs, std::int64_t features) const {
  const std::int64_t samples = sample_count(inputs, features, "Dataset::with_inputs");
  require(samples == size(), "Dataset::with_inputs", "received ", samples, " samples, expected ", size());
  Data data = *data_;
  data.inputs = std::move(inputs);
  data.features = features;
  return Dataset(std::make_shared<const Data>(std::move(data)));
}

Dataset Dataset::with_classes(std::int64_t classes) const {
  require(has_labels(), "Dataset::with_classes", "received real targets, expected labels");
  require(classes >= outputs() && classes <= kMaxClasses, "Dataset::with_classes", "received ", classes,
          " classes, expected ", outputs(), " to ", kMaxClasses);
  Data data = *data_;
  data.outputs = classes;
  return Dataset(std::make_shared<const Data>(std::move(data)));
}

Dataset Dataset::with_class_names(std::vector<std::string> names) const {
  constexpr std::string_view function = "Dataset::with_class_names";
  require(has_labels() && std::ssize(names) == outputs(), function, "received ", names.size(), " names, expected ",
          has_labels() ? outputs() : 0, ", one for each class");
  Data data = *data_;
  data.class_names = std::move(names);
  return Dataset(std::make_shared<const Data>(std::move(data)));
}

Dataset Dataset::standardised() const {
  const auto width = static_cast<std::size_t>(features());
  std::vector<double> inputs = data_->inputs;
  for (std::size_t i = 0; i < width; ++i) {
    double mean = 0, square = 0;
    for (std::size_t k = i; k < inputs.size(); k += width) mean += inputs[k];
    mean /= static_cast<double>(size());
    for (std::size_t k = i; k < inputs.size(); k += width) square += (inputs[k] - mean) * (inputs[k] - mean);
    const double deviation = std::sqrt(square / static_cast<double>(size()));
    const bool constant = deviation <= 1e-12 * std::abs(mean);
    for (std::size_t k = i; k < inputs.size(); k += width) inputs[k] = constant ? 0 : (inputs[k] - mean) / deviation;
  }
  return with_inputs(std::move(inputs), features());
}

Dataset Dataset::renamed(std::string name) const {
  Data data = *data_;
  data.name = std::move(name);
  return Dataset(std::make_shared<const Data>(std::move(data)));
}

LabelStatistics label_statistics(const Dataset& data) {
  const auto outputs = static_cast<std::size_t>(data.outputs());
  const auto samples = static_cast<double>(data.size());
  LabelStatistics result;
  result.mean.assign(outputs, 0);
  if (data.has_labels()) {
    std::vector<std::int64_t> counts(outputs, 0);
    for (const std::int32_t label : data.labels()) ++counts[static_cast<std::size_t>(label)];
    result.mean_square = 1;
    for (std::size_t c = 0; c < outputs; ++c) {
      const double share = static_cast<double>(counts[c]) / samples;
      result.mean[c] = share;
      result.variance += share * (static_cast<double>(data.size() - counts[c]) / samples);  // Σ π(1 − π) = 1 − Σ π²
    }
    return result;
  }
  for (std::int64_t n = 0; n < data.size(); ++n) {
    for (std::size_t c = 0; c < outputs; ++c) {
      const double y = data.target(n, static_cast<std::int64_t>(c));
      result.mean[c] += y;
      result.mean_square += y * y;
    }
  }
  for (double& mean : result.mean) mean /= samples;
  result.mean_square /= samples;
  for (std::int64_t n = 0; n < data.size(); ++n) {
    for (std::size_t c = 0; c < outputs; ++c) {
      const double deviation = data.target(n, static_cast<std::int64_t>(c)) - result.mean[c];
      result.variance += deviation * deviation;
    }
  }
  result.variance /= samples;
  return result;
}

Dataset tanh3() {
  constexpr int kSamples = 50;
  std::vector<double> x(kSamples), y(kSamples);
  for (int n = 0; n < kSamples; ++n) {
    const auto i = static_cast<std::size_t>(n);
    x[i] = n == kSamples - 1 ? 15.0 : -15.0 + n * (30.0 / (kSamples - 1));
    y[i] = std::tanh(x[i] + 7) + std::tanh(x[i]) + std::tanh(x[i] - 7);
  }
  return Dataset::regression(std::move(x), 1, std::move(y), 1, "tanh3");
}

}  // namespace lossatlas
