#include <algorithm>
#include <cmath>
#include <map>
#include <string>

#include <lossatlas/dataset_io.hpp>

#include "file/foreign_file.hpp"
#include "file/input_file.hpp"
#include "format/csv_table.hpp"

namespace lossatlas {
namespace {

constexpr std::string_view kFunction = "read_csv";
constexpr std::size_t kMaxClasses = 1000;

/// The targets as numbers; nullopt if one of them is text. Throws FileError if a number is not finite.
std::optional<std::vector<double>> numeric_targets(const CsvTable& table, const FileContext& context) {
  std::vector<double> values;
  for (const std::string& target : table.targets) {
    const std::optional<double> value = csv_number(target);
    if (!value) return std::nullopt;
    values.push_back(*value);
  }
  for (std::size_t n = 0; n < values.size(); ++n) {
    context.require(std::isfinite(values[n]), "with the target ", printable(table.targets[n]), " on line ",
                    table.lines[n], ", column ", table.target_column, ", expected a finite number");
  }
  return values;
}

std::vector<double> real_targets(const CsvTable& table, const FileContext& context) {
  if (std::optional<std::vector<double>> values = numeric_targets(table, context)) return std::move(*values);
  const auto text = std::ranges::find_if(table.targets, [](const auto& target) { return !csv_number(target); });
  context.fail("with the target ", printable(*text), " on line ",
               table.lines[static_cast<std::size_t>(text - table.targets.begin())], ", column ", table.target_column,
               ", expected a real number");
}

/// K if the values are labels: whole numbers 0..K−1, each present, with 2 ≤ K ≤ 1000 and N > K. Otherwise nullopt.
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

/// The distinct texts of the targets, sorted.
std::vector<std::string> class_names(const CsvTable& table, const FileContext& context) {
  std::vector<std::string> names = table.targets;
  std::ranges::sort(names);
  names.erase(std::unique(names.begin(), names.end()), names.end());
  context.require(names.size() <= kMaxClasses, "with ", names.size(), " different text targets, expected at most ",
                  kMaxClasses, " classes; if the target is a number, look for text such as that on line ",
                  table.lines[0]);
  return names;
}

/// A few names, for a message.
std::string listed(const std::vector<std::string>& names) {
  constexpr std::size_t kMost = 10;
  std::string text;
  for (std::size_t c = 0; c < std::min(names.size(), kMost); ++c) text += (c == 0 ? "" : ", ") + printable(names[c]);
  return text + (names.size() > kMost ? ", ..." : "");
}

/// Numbers classes by name; if all names are numbers, by value, so that 1.0 is the class 1.
class ClassList {
 public:
  explicit ClassList(const std::vector<std::string>& names)
      : numeric_(std::ranges::all_of(names, [](const std::string& name) { return csv_number(name).has_value(); })) {
    require(names.size() <= kMaxClasses, kFunction, "received ", names.size(), " classes, expected at most ",
            kMaxClasses);
    for (const std::string& name : names) {
      const auto label = static_cast<std::int32_t>(labels_.size());
      require(!name.empty() && labels_.emplace(key(name), label).second, kFunction, "received the class ",
              printable(name), name.empty() ? "" : " twice", ", expected different names");
    }
  }

  std::optional<std::int32_t> find(const std::string& target) const {
    const auto found = labels_.find(key(target));
    return found == labels_.end() ? std::nullopt : std::optional(found->second);
  }

 private:
  using Key = std::pair<double, std::string>;  ///< a number's value alone, or a text

  Key key(const std::string& text) const {
    const std::optional<double> value = numeric_ ? csv_number(text) : std::nullopt;
    return value && !std::isnan(*value) ? Key{*value, {}} : Key{0, text};
  }

  bool numeric_;
  std::map<Key, std::int32_t> labels_;
};

Dataset classification(CsvTable table, const std::vector<std::string>& names, const FileContext& context) {
  const ClassList classes(names);
  std::vector<std::int32_t> labels;
  for (std::size_t n = 0; n < table.targets.size(); ++n) {
    const std::optional<std::int32_t> label = classes.find(table.targets[n]);
    context.require(label.has_value(), "with the label ", printable(table.targets[n]), " on line ", table.lines[n],
                    ", column ", table.target_column, ", expected one of the classes ", listed(names));
    labels.push_back(*label);
  }
  return Dataset::classification(std::move(table.inputs), table.features, std::move(labels), std::ssize(names),
                                 context.file.stem().string())
      .with_class_names(names);
}

}  // namespace

Dataset read_csv(const std::filesystem::path& file, CsvOptions options) {
  require(!options.real || options.classes.empty(), kFunction, "received real targets and a list of classes, ",
          "expected one of them");
  const std::string text = read_file(file, kFunction);
  const FileContext context{file, kFunction};
  refuse_foreign(text, "a table of comma-separated values", context);
  CsvTable table = read_csv_table(text, options, context);
  const std::string name = file.stem().string();
  if (options.real) {
    std::vector<double> values = real_targets(table, context);
    return Dataset::regression(std::move(table.inputs), table.features, std::move(values), 1, name);
  }
  if (!options.classes.empty()) return classification(std::move(table), options.classes, context);
  std::optional<std::vector<double>> values = numeric_targets(table, context);
  if (!values) {
    const std::vector<std::string> names = class_names(table, context);
    return classification(std::move(table), names, context);
  }
  if (const std::optional<std::int64_t> classes = class_count(*values)) {
    return Dataset::classification(std::move(table.inputs), table.features,
                                   std::vector<std::int32_t>(values->begin(), values->end()), *classes, name);
  }
  return Dataset::regression(std::move(table.inputs), table.features, std::move(*values), 1, name);
}

}  // namespace lossatlas
