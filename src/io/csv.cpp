#include <algorithm>
#include <charconv>
#include <cmath>
#include <string>

#include <lossatlas/dataset_io.hpp>

#include "io/csv_reader.hpp"
#include "io/input_file.hpp"

namespace lossatlas {
namespace {

constexpr std::size_t kMaxClasses = 1000;

/// The whole field as a number, which may be non-finite; nothing for text.
std::optional<double> number(std::string_view field) {
  if (field.starts_with('+') && !field.starts_with("+-")) field.remove_prefix(1);
  double value = 0;
  const char* end = field.data() + field.size();
  const auto [last, error] = std::from_chars(field.data(), end, value);
  if (last != end || field.empty()) return std::nullopt;
  if (error == std::errc::result_out_of_range) return std::numeric_limits<double>::infinity();
  return error == std::errc() ? std::optional(value) : std::nullopt;
}

bool has_header(const std::vector<std::string>& first, std::size_t target) {
  for (std::size_t column = 0; column < first.size(); ++column) {
    if (column != target && !number(first[column])) return true;
  }
  return false;
}

std::optional<std::size_t> find_name(const std::vector<std::string>& first, const std::string& name) {
  const auto found = std::find(first.begin(), first.end(), name);
  if (found == first.end()) return std::nullopt;
  return static_cast<std::size_t>(found - first.begin());
}

struct Layout {
  std::size_t target = 0;
  bool header = false;
};

/// Which column is the target and whether the first line is a header.
Layout layout(const std::vector<std::string>& first, const CsvOptions& options, const FileContext& context) {
  context.require(first.size() >= 2, "with one column, expected inputs and a target separated by commas");
  if (!options.target) return {first.size() - 1, has_header(first, first.size() - 1)};
  const std::optional<std::size_t> named = find_name(first, *options.target);
  if (named && has_header(first, *named)) {
    context.require(std::count(first.begin(), first.end(), *options.target) == 1, "with several columns named ",
                    printable(*options.target), ", expected one; give the target's zero-based index");
    return {*named, true};
  }
  std::size_t index = 0;
  const char* end = options.target->data() + options.target->size();
  const auto [last, error] = std::from_chars(options.target->data(), end, index);
  context.require(error == std::errc() && last == end && index < first.size(), "without a target column ",
                  printable(*options.target), ", expected a name of its header line or an index below ", first.size());
  return {index, has_header(first, index)};
}

struct Table {
  std::size_t features = 0;
  std::vector<double> inputs;
  std::vector<std::string> targets;
  std::vector<std::int64_t> lines;  ///< of each target
};

Table read_table(CsvReader& reader, const CsvOptions& options, const FileContext& context) {
  std::vector<std::string> fields;
  context.require(reader.next(fields), "without a line of data, expected a table");
  const Layout columns = layout(fields, options, context);
  const std::size_t width = fields.size();
  Table table;
  table.features = width - 1;
  bool more = columns.header ? reader.next(fields) : true;
  context.require(more, "without a line of data after its header, expected a table");
  for (; more; more = reader.next(fields)) {
    context.require(fields.size() == width, "with ", fields.size(), " fields on line ", reader.line(), ", expected ",
                    width);
    for (std::size_t column = 0; column < width; ++column) {
      if (column == columns.target) continue;
      const std::optional<double> value = number(fields[column]);
      context.require(value && std::isfinite(*value), "with the input ", printable(fields[column]), " on line ",
                      reader.line(), ", column ", column, ", expected a finite number");
      table.inputs.push_back(*value);
    }
    std::string& target = fields[columns.target];
    context.require(!target.empty(), "with an empty target on line ", reader.line(), ", expected a number or a label");
    table.targets.push_back(std::move(target));
    table.lines.push_back(reader.line());
  }
  return table;
}

/// The targets as numbers, all finite; nothing when one of them is text.
std::optional<std::vector<double>> numeric_targets(const Table& table, const FileContext& context) {
  std::vector<double> values;
  for (const std::string& target : table.targets) {
    const std::optional<double> value = number(target);
    if (!value) return std::nullopt;
    values.push_back(*value);
  }
  for (std::size_t n = 0; n < values.size(); ++n) {
    context.require(std::isfinite(values[n]), "with the target ", printable(table.targets[n]), " on line ",
                    table.lines[n], ", expected a finite number");
  }
  return values;
}

/// K when the values are labels: whole numbers 0..K−1, each present, with 2 ≤ K ≤ 1000 and N > K.
std::optional<std::int64_t> class_count(const std::vector<double>& values) {
  std::vector<bool> present(kMaxClasses, false);
  std::size_t count = 0;
  for (const double value : values) {
    if (value < 0 || value >= static_cast<double>(kMaxClasses) || value != std::floor(value)) return std::nullopt;
    present[static_cast<std::size_t>(value)] = true;
    count = std::max(count, static_cast<std::size_t>(value) + 1);
  }
  const bool all = std::find(present.begin(), present.begin() + static_cast<std::ptrdiff_t>(count), false) ==
                   present.begin() + static_cast<std::ptrdiff_t>(count);
  if (!all || count < 2 || values.size() <= count) return std::nullopt;
  return static_cast<std::int64_t>(count);
}

Dataset text_classification(Table table, const FileContext& context) {
  std::vector<std::string> names = table.targets;
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  context.require(names.size() <= kMaxClasses, "with ", names.size(), " different text targets, expected at most ",
                  kMaxClasses, " classes; if the target is a number, look for text such as that on line ",
                  table.lines[0]);
  std::vector<std::int32_t> labels;
  for (const std::string& target : table.targets) {
    labels.push_back(static_cast<std::int32_t>(std::lower_bound(names.begin(), names.end(), target) - names.begin()));
  }
  return Dataset::classification(std::move(table.inputs), static_cast<std::int64_t>(table.features), std::move(labels),
                                 std::ssize(names), context.file.stem().string());
}

}  // namespace

Dataset read_csv(const std::filesystem::path& file, CsvOptions options) {
  const std::string text = read_file(file, "read_csv");
  const FileContext context{file, "read_csv"};
  CsvReader reader(text, context);
  Table table = read_table(reader, options, context);
  std::optional<std::vector<double>> values = numeric_targets(table, context);
  if (!values) return text_classification(std::move(table), context);
  const auto features = static_cast<std::int64_t>(table.features);
  const std::string name = file.stem().string();
  if (const std::optional<std::int64_t> classes = class_count(*values)) {
    return Dataset::classification(std::move(table.inputs), features,
                                   std::vector<std::int32_t>(values->begin(), values->end()), *classes, name);
  }
  return Dataset::regression(std::move(table.inputs), features, std::move(*values), 1, name);
}

}  // namespace lossatlas
