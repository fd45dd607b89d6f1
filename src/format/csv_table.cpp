#include "format/csv_table.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <cmath>

#include "base/decimal.hpp"
#include "format/csv_reader.hpp"

namespace lossatlas {

std::optional<double> csv_number(std::string_view field) {
  if (field.starts_with('+') && !field.starts_with("+-")) field.remove_prefix(1);
  return parse_decimal(field);
}

namespace {

constexpr std::string_view kSayHeader = "say header=yes or header=no";

/// Whether a field stands for an unknown value.
bool is_missing(std::string_view field) {
  constexpr std::array<std::string_view, 9> kTokens = {"", "?", "na", "n/a", "nan", "null", "none", "<na>", "#n/a"};
  std::string lower(field.substr(0, 5));
  for (char& c : lower) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return field.size() == lower.size() && std::ranges::find(kTokens, lower) != kTokens.end();
}

bool is_text(std::string_view field) { return !is_missing(field) && !csv_number(field); }

class TableReader {
 public:
  TableReader(std::string_view text, const CsvOptions& options, const FileContext& context)
      : options_(options), context_(context), reader_(text, context) {
    // Every input but those of the last column ends in a comma, every sample but the last in a line end.
    const auto values = std::ranges::count(text, ',');
    const auto samples = std::max(std::ranges::count(text, '\n'), std::ranges::count(text, '\r')) + 1;
    context_.require_memory(static_cast<double>(values) * sizeof(double) +
                            static_cast<double>(samples) * (sizeof(std::string) + sizeof(std::int64_t)));
    table_.inputs.reserve(static_cast<std::size_t>(values));
    table_.targets.reserve(static_cast<std::size_t>(samples));
    table_.lines.reserve(static_cast<std::size_t>(samples));
  }

  CsvTable read() {
    context_.require(reader_.next(first_), "without a line of data, expected a table");
    context_.require(first_.size() >= 2, "with one column, expected inputs and a target separated by commas");
    first_line_ = reader_.line();
    find_target();
    const bool header = options_.header.value_or(text_outside(target_));
    if (!header) add(first_);
    std::vector<std::string> fields;
    while (reader_.next(fields)) {
      context_.require(fields.size() == first_.size(), "with ", fields.size(), " fields on line ", reader_.line(),
                       ", expected ", first_.size());
      add(fields);
    }
    context_.require(!table_.targets.empty(), "without a line of data after its header, expected a table");
    if (!options_.header) header ? check_names() : check_sample();
    table_.features = std::ssize(first_) - 1;
    table_.target_column = static_cast<std::int64_t>(target_) + 1;
    return std::move(table_);
  }

 private:
  bool text_outside(std::size_t target) const {
    for (std::size_t column = 0; column < first_.size(); ++column) {
      if (column != target && is_text(first_[column])) return true;
    }
    return false;
  }

  void find_target() {
    target_ = first_.size() - 1;
    if (!options_.target) return;
    const auto named = std::ranges::find(first_, *options_.target);
    const auto column = static_cast<std::size_t>(named - first_.begin());
    if (named != first_.end() && options_.header.value_or(text_outside(column))) {
      context_.require(std::ranges::count(first_, *options_.target) == 1, "with several columns named ",
                       printable(*options_.target), ", expected one; give the target's number, from 0");
      target_ = column;
      named_ = true;
      return;
    }
    const char* end = options_.target->data() + options_.target->size();
    const auto [last, error] = std::from_chars(options_.target->data(), end, target_);
    context_.require(error == std::errc() && last == end && target_ < first_.size(), "without a target column ",
                     printable(*options_.target), ", expected a name of its header line or a number from 0 to ",
                     first_.size() - 1, named == first_.end() ? "" : "; if the header is of numbers, say header=yes");
  }

  void add(const std::vector<std::string>& fields) {
    for (std::size_t column = 0; column < fields.size(); ++column) {
      if (column != target_) table_.inputs.push_back(input(fields[column], column));
    }
    const std::string& target = fields[target_];
    if (is_missing(target) && std::ranges::find(options_.classes, target) == options_.classes.end())
      refuse_missing(target, target_);
    const std::optional<double> number = csv_number(target);
    if (number && !std::isfinite(*number) && std::ranges::find(options_.classes, target) == options_.classes.end()) {
      context_.fail("with the target ", printable(target), " on line ", reader_.line(), ", column ", target_ + 1,
                    ", expected a finite number or a label; a class of that name is listed in classes=");
    }
    table_.targets.push_back(target);
    table_.lines.push_back(reader_.line());
  }

  double input(const std::string& field, std::size_t column) const {
    if (is_missing(field)) refuse_missing(field, column);
    const std::optional<double> value = csv_number(field);
    if (value && std::isfinite(*value)) return *value;
    const bool both = !options_.header && reader_.line() != first_line_ && is_text(first_[column]);
    context_.fail(
        "with the input ", printable(field), " on line ", reader_.line(), ", column ", column + 1,
        both ? " and " + printable(first_[column]) + " on line " + std::to_string(first_line_) : std::string(),
        ", expected a finite number in every column but the target's");
  }

  [[noreturn]] void refuse_missing(const std::string& field, std::size_t column) const {
    context_.fail("with a missing value, ", printable(field), ", on line ", reader_.line(), ", column ", column + 1,
                  ", expected ", column == target_ ? "a number or a label" : "a finite number",
                  "; fill it in or leave the line out",
                  !options_.header && reader_.line() == first_line_ ? ", or say header=yes if it is a header" : "");
  }

  /// A header has only names: a number among them may belong to a sample whose other values are malformed.
  void check_names() const {
    const std::string& name_of_target = first_[target_];
    const bool is_label = std::ranges::find(table_.targets, name_of_target) != table_.targets.end() ||
                          std::ranges::find(options_.classes, name_of_target) != options_.classes.end();
    context_.require(named_ || !is_label, "whose line ", first_line_, " has text in an input's column and ",
                     printable(name_of_target), ", the label of other lines, in the target's, expected a header or a ",
                     "sample; mend it, or ", kSayHeader);
    const auto is_name = [](const std::string& field) { return is_text(field); };
    for (std::size_t column = 0; column < first_.size(); ++column) {
      if ((column == target_ && named_) || !csv_number(first_[column]) || is_missing(first_[column])) continue;
      const auto name = static_cast<std::size_t>(std::ranges::find_if(first_, is_name) - first_.begin());
      context_.fail("whose line ", first_line_, " has the text ", printable(first_[name]), " in column ", name + 1,
                    " and the number ", printable(first_[column]), " in column ", column + 1,
                    ", expected a header or a sample; mend it, or ", kSayHeader);
    }
  }

  /// Refuses a first line 0,1,...: a sample of small whole numbers, or the header of a table with numbered columns?
  void check_sample() const {
    std::int64_t inputs = 0;
    const auto counts = [&](const std::string& field) { return field == std::to_string(inputs++); };
    context_.require(!std::ranges::all_of(first_, counts), "whose line ", first_line_, " counts 0,1,... to ",
                     first_.size() - 1, ", expected a header of names or another sample: it may be either; ",
                     kSayHeader);
    const std::string& target = first_[target_];
    const std::vector<std::string>& all = table_.targets;
    if (all.size() < 2 || !is_text(target) || std::ranges::count(all, target) > 1) return;
    if (std::ranges::find(options_.classes, target) != options_.classes.end()) return;
    const bool alone = std::none_of(all.begin() + 1, all.end(), is_text);
    inputs = 0;
    std::size_t numbered = 0;
    for (std::size_t column = 0; column < first_.size(); ++column) {
      if (column != target_ && counts(first_[column])) ++numbered;
    }
    const bool columns = numbered >= 2 && numbered + 1 == first_.size();
    context_.require(!alone && !columns, "whose line ", first_line_, " has the text ", printable(target),
                     " in the target's column ", target_ + 1, alone ? ", where the others have numbers" : "",
                     columns ? ", and 0,1,... elsewhere" : "", ", expected a header or a sample; ", kSayHeader);
  }

  const CsvOptions& options_;
  const FileContext& context_;
  CsvReader reader_;
  CsvTable table_;
  std::vector<std::string> first_;
  std::int64_t first_line_ = 0;
  std::size_t target_ = 0;
  bool named_ = false;  ///< the target is given by its name in the first line
};

}  // namespace

CsvTable read_csv_table(std::string_view text, const CsvOptions& options, const FileContext& context) {
  return TableReader(text, options, context).read();
}

}  // namespace lossatlas
