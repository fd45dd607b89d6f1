#include <algorithm>
#include <charconv>
#include <cmath>
#include <filesystem>
#include <limits>
#include <string>
#include <vector>

#include <lossatlas/array.hpp>
#include <lossatlas/dataset_io.hpp>

#include "io/file_context.hpp"

namespace lossatlas {
namespace {

constexpr std::string_view kFunction = "read_dataset";
constexpr std::string_view kForms =
    "idx:IMAGES,LABELS, csv:FILE[,target=COLUMN][,standardise], npy:X.npy,Y.npy, glyphs:N[,seed=S] or tanh3, each "
    "with @first:last or without";

[[noreturn]] void fail(std::string_view received, const std::string& expected) {
  throw InvalidArgument(message(kFunction, "received ", printable(received), ", expected ", expected));
}

std::optional<std::uint64_t> whole_number(std::string_view text) {
  std::uint64_t value = 0;
  const auto [last, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  const bool all = error == std::errc() && last == text.data() + text.size();
  return all ? std::optional(value) : std::nullopt;
}

struct Slice {
  std::int64_t first = 0;
  std::int64_t last = 0;
};

/// Takes `@first:last` off the end of `spec`. An `@` before anything but digits and colons belongs to a file name.
std::optional<Slice> take_slice(std::string_view& spec) {
  const std::size_t at = spec.rfind('@');
  if (at == std::string_view::npos) return std::nullopt;
  const std::string_view text = spec.substr(at + 1);
  if (text.find_first_not_of("0123456789:-") != std::string_view::npos) return std::nullopt;
  const std::size_t colon = text.find(':');
  const auto first = whole_number(text.substr(0, colon));
  const auto last = colon == std::string_view::npos ? std::nullopt : whole_number(text.substr(colon + 1));
  const std::uint64_t most = std::numeric_limits<std::int64_t>::max();
  if (!first || !last || *last > most || *first >= *last) {
    fail(spec, "a slice @first:last with 0 <= first < last after the last @; a file name cannot end in such a text");
  }
  spec = spec.substr(0, at);
  return Slice{static_cast<std::int64_t>(*first), static_cast<std::int64_t>(*last)};
}

struct FilePair {
  std::filesystem::path first;
  std::filesystem::path second;
};

/// FIRST,SECOND; where names hold commas themselves, the one split at which both files exist.
FilePair split_files(std::string_view spec, std::string_view text) {
  std::vector<FilePair> all;
  std::vector<FilePair> existing;
  for (std::size_t comma = text.find(','); comma != std::string_view::npos; comma = text.find(',', comma + 1)) {
    const FilePair pair{text.substr(0, comma), text.substr(comma + 1)};
    std::error_code ignored;
    all.push_back(pair);
    if (std::filesystem::exists(pair.first, ignored) && std::filesystem::exists(pair.second, ignored)) {
      existing.push_back(pair);
    }
  }
  const bool single = all.size() == 1;
  if (!single && existing.size() != 1) {
    fail(spec, "two file names with one comma between them; names that hold commas need one split where both exist");
  }
  const FilePair& pair = single ? all.front() : existing.front();
  if (pair.first.empty() || pair.second.empty()) fail(spec, "two file names with one comma between them");
  return pair;
}

Dataset read_csv_spec(std::string_view spec, std::string_view text) {
  CsvOptions options;
  bool standardise = false;
  for (std::size_t comma = text.rfind(','); comma != std::string_view::npos; comma = text.rfind(',')) {
    constexpr std::string_view kTarget = "target=";
    const std::string_view option = text.substr(comma + 1);
    if (option == "standardise" && !standardise) {
      standardise = true;
    } else if (option.starts_with(kTarget) && option.size() > kTarget.size() && !options.target) {
      options.target = std::string(option.substr(kTarget.size()));
    } else {
      break;
    }
    text = text.substr(0, comma);
  }
  std::error_code ignored;
  const bool comma_left = text.find(',') != std::string_view::npos;
  if (text.empty() || (comma_left && !std::filesystem::exists(std::filesystem::path(text), ignored))) {
    fail(spec, "csv:FILE[,target=COLUMN][,standardise]; a comma in the file name needs a file of that name");
  }
  const Dataset data = read_csv(text, options);
  return standardise ? data.standardised() : data;
}

Dataset read_glyphs(std::string_view spec, std::string_view text) {
  constexpr std::uint64_t kMost = 1000000;
  constexpr std::string_view kSeed = ",seed=";
  const std::size_t comma = text.find(',');
  const std::optional<std::uint64_t> samples = whole_number(text.substr(0, comma));
  std::optional<std::uint64_t> seed = 0;
  if (comma != std::string_view::npos) {
    const std::string_view rest = text.substr(comma);
    seed = rest.starts_with(kSeed) ? whole_number(rest.substr(kSeed.size())) : std::nullopt;
  }
  if (!samples || *samples == 0 || *samples > kMost || !seed) {
    fail(spec, "glyphs:N[,seed=S] with 1 <= N <= 1000000 and a whole number S");
  }
  return glyphs(static_cast<std::int64_t>(*samples), {.seed = *seed});
}

Dataset read_whole(std::string_view spec, std::string_view text) {
  if (text == "tanh3") return tanh3();
  const std::size_t colon = text.find(':');
  const std::string_view kind = text.substr(0, colon);
  const std::string_view rest = colon == std::string_view::npos ? std::string_view() : text.substr(colon + 1);
  if (kind == "idx") {
    const FilePair files = split_files(spec, rest);
    return read_idx(files.first, files.second);
  }
  if (kind == "npy") {
    const FilePair files = split_files(spec, rest);
    return read_npy_dataset(files.first, files.second);
  }
  if (kind == "csv") return read_csv_spec(spec, rest);
  if (kind == "glyphs") return read_glyphs(spec, rest);
  fail(spec, std::string(kForms));
}

void require_finite_file(const Array& array, const FileContext& context) {
  const auto wrong =
      std::find_if_not(array.values.begin(), array.values.end(), [](double v) { return std::isfinite(v); });
  context.require(wrong == array.values.end(), "with entry ", wrong - array.values.begin(), " = ",
                  wrong == array.values.end() ? 0.0 : *wrong, ", expected finite values");
}

std::vector<std::int32_t> to_labels(const Array& array, const FileContext& context) {
  constexpr double kMaxClasses = 1000;
  std::vector<std::int32_t> labels;
  for (std::size_t n = 0; n < array.values.size(); ++n) {
    const double value = array.values[n];
    context.require(value >= 0 && value < kMaxClasses, "with the label ", value, " at entry ", n,
                    ", expected whole numbers 0..999; store real targets as float64");
    labels.push_back(static_cast<std::int32_t>(value));
  }
  return labels;
}

}  // namespace

Dataset read_npy_dataset(const std::filesystem::path& inputs, const std::filesystem::path& targets) {
  const FileContext input_context{inputs, "read_npy_dataset"};
  const FileContext target_context{targets, "read_npy_dataset"};
  Array x = read_npy(inputs);
  input_context.require(!x.shape.empty() && x.size() > 0, "of an empty shape, expected inputs (N, ...) with N >= 1");
  require_finite_file(x, input_context);
  Array y = read_npy(targets);
  target_context.require(y.size() > 0 && (y.shape.size() == 1 || (y.shape.size() == 2 && !y.integral)), "of ",
                         y.shape.size(), " axes and ", y.size(), y.integral ? " integers" : " floats",
                         ", expected integer labels (N) or real targets (N) or (N, C)");
  require_finite_file(y, target_context);
  const std::int64_t count = x.shape.front();
  target_context.require(y.shape.front() == count, "with ", y.shape.front(), " targets, expected the ", count, " of ",
                         display(inputs));
  const std::int64_t features = x.size() / count;
  const std::string name = inputs.stem().string();
  if (!y.integral) {
    const std::int64_t outputs = y.size() / count;
    return Dataset::regression(std::move(x.values), features, std::move(y.values), outputs, name);
  }
  std::vector<std::int32_t> labels = to_labels(y, target_context);
  const std::int32_t top = *std::max_element(labels.begin(), labels.end());
  return Dataset::classification(std::move(x.values), features, std::move(labels), top + 1, name);
}

Dataset read_dataset(std::string_view spec) {
  std::string_view text = spec;
  const std::optional<Slice> slice = take_slice(text);
  const Dataset data = read_whole(spec, text);
  if (!slice) return data;
  if (slice->last > data.size()) {
    fail(spec, "a slice within the " + std::to_string(data.size()) + " samples of " + data.name());
  }
  return data.slice(slice->first, slice->last);
}

}  // namespace lossatlas
