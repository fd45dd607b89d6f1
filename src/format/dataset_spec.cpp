#include <algorithm>
#include <charconv>
#include <filesystem>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include <lossatlas/dataset_io.hpp>

#include "file/file_context.hpp"
#include "model/labels.hpp"

namespace lossatlas {
namespace {

constexpr std::string_view kFunction = "read_dataset";
constexpr std::string_view kForms =
    "idx:IMAGES,LABELS, csv:FILE[,OPTION...], npy:X.npy,Y.npy[,real], glyphs:N[,seed=S] or tanh3, each with "
    "@first:last or without";
constexpr std::string_view kCsvForms =
    "csv:FILE[,target=COLUMN][,header=yes|no][,standardise][,real][,classes=A,B,...]; a comma in the file name needs a "
    "file of that name";

[[noreturn]] void fail(std::string_view received, std::string_view expected) {
  throw InvalidArgument(message(kFunction, "received ", printable(received), ", expected ", expected));
}

/// Blames a wrong part of a description, which may be too long for a message to show its end.
[[noreturn]] void fail(std::string_view part, std::string_view spec, std::string_view expected) {
  throw InvalidArgument(
      message(kFunction, "received ", printable(part), " in ", printable(spec), ", expected ", expected));
}

std::optional<std::uint64_t> whole_number(std::string_view text) {
  std::uint64_t value = 0;
  const auto [last, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  const bool all = error == std::errc() && last == text.data() + text.size();
  return all ? std::optional(value) : std::nullopt;
}

struct Slice {
  std::string_view text;  ///< with its @
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
    fail(spec.substr(at), spec, "a slice @first:last with 0 <= first < last; a file name cannot end in such a text");
  }
  const std::string_view slice = spec.substr(at);
  spec = spec.substr(0, at);
  return Slice{slice, static_cast<std::int64_t>(*first), static_cast<std::int64_t>(*last)};
}

struct FilePair {
  std::filesystem::path first;
  std::filesystem::path second;
};

/// Splits FIRST,SECOND; if the names contain commas themselves, at the only comma where both files exist.
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

/// What a model's other data sets take over from the one it was made for.
struct Kin {
  std::vector<std::string> classes;
  bool real = false;
};

Kin kin_of(const Dataset& like) {
  if (!like.has_labels()) return {.classes = {}, .real = true};
  Kin kin{.classes = like.class_names(), .real = false};
  if (kin.classes.empty()) {
    for (std::int64_t c = 0; c < like.outputs(); ++c) kin.classes.push_back(std::to_string(c));
  }
  return kin;
}

constexpr std::string_view kTarget = "target=", kHeader = "header=", kClasses = "classes=",
                           kStandardise = "standardise";

/// Parses the options of csv:FILE,OPTION,... from the left.
class CsvSpecParser {
 public:
  /// Whether the text consists of options separated by commas.
  bool parse(std::string_view text) {
    rest_ = text;
    do {
      if (!option()) return false;
    } while (accept(","));
    return rest_.empty();
  }

  CsvOptions options;
  bool standardise = false;

 private:
  bool option() {
    if (accept(kTarget)) return !options.target && !(options.target = std::string(word()))->empty();
    if (accept(kClasses)) return options.classes.empty() && names();
    const std::string_view text = word();
    if (text == "header=yes" || text == "header=no") {
      const bool first = !options.header;
      options.header = text == "header=yes";
      return first;
    }
    if (text == kStandardise) return !std::exchange(standardise, true);
    return text == "real" && !std::exchange(options.real, true);
  }

  bool names() {
    do {
      std::optional<std::string> name = rest_.starts_with('"') ? quoted() : std::string(word());
      if (!name || name->empty()) return false;
      options.classes.push_back(std::move(*name));
    } while (another_name());
    return true;
  }

  /// Takes the comma before another name, but not one before an option.
  bool another_name() {
    if (!rest_.starts_with(',')) return false;
    const std::string_view next = rest_.substr(1);
    const bool other = next.substr(0, next.find(',')) == kStandardise || next.starts_with(kTarget) ||
                       next.starts_with(kHeader) || next.starts_with(kClasses);
    return !other && accept(",");
  }

  /// Parses "a ""b"", c", where a quote inside is doubled.
  std::optional<std::string> quoted() {
    std::string name;
    while (accept("\"")) {
      const std::size_t end = rest_.find('"');
      if (end == std::string_view::npos) return std::nullopt;
      name += rest_.substr(0, end);
      rest_.remove_prefix(end + 1);
      if (rest_.starts_with('"')) name += '"';
    }
    return name;
  }

  std::string_view word() {
    const std::string_view text = rest_.substr(0, rest_.find(','));
    rest_.remove_prefix(text.size());
    return text;
  }

  bool accept(std::string_view text) {
    if (!rest_.starts_with(text)) return false;
    rest_.remove_prefix(text.size());
    return true;
  }

  std::string_view rest_;
};

/// The last part between commas that is no option by itself.
std::string_view wrong_option(std::string_view text) {
  for (std::size_t comma = text.rfind(','); comma != std::string_view::npos; comma = text.rfind(',')) {
    const std::string_view part = text.substr(comma + 1);
    if (!CsvSpecParser().parse(part)) return part;
    text = text.substr(0, comma);
  }
  return text;
}

Dataset read_csv_spec(std::string_view spec, std::string_view text, const std::optional<Kin>& kin) {
  CsvSpecParser parsed;
  std::size_t comma = text.find(',');
  for (; comma != std::string_view::npos; comma = text.find(',', comma + 1)) {
    parsed = {};
    if (parsed.parse(text.substr(comma + 1))) break;
  }
  const std::string_view file = text.substr(0, comma);
  if (comma == std::string_view::npos) parsed = {};
  std::error_code ignored;
  const bool comma_left = file.find(',') != std::string_view::npos;
  if (file.empty() || (comma_left && !std::filesystem::exists(std::filesystem::path(file), ignored))) {
    fail(wrong_option(text), spec, kCsvForms);
  }
  CsvOptions& options = parsed.options;
  if (kin) {
    if (options.classes.empty()) options.classes = kin->classes;
    if (options.classes != kin->classes) fail(spec, "the classes, and their order, of the data the model is made for");
    if (options.real && !kin->real) fail("real", spec, "labels, as the data the model is made for has");
    options.real = kin->real;
  }
  const Dataset data = read_csv(file, options);
  return parsed.standardise ? data.standardised() : data;
}

Dataset read_npy_spec(std::string_view spec, std::string_view text, const std::optional<Kin>& kin) {
  constexpr std::string_view kReal = ",real";
  NpyDatasetOptions options{.real = kin && kin->real};
  if (text.ends_with(kReal) && std::ranges::count(text, ',') > 1) {
    options.real = true;
    text.remove_suffix(kReal.size());
  }
  const FilePair files = split_files(spec, text);
  return read_npy_dataset(files.first, files.second, options);
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

Dataset read_whole(std::string_view spec, std::string_view text, const std::optional<Kin>& kin) {
  if (text == "tanh3") return tanh3();
  const std::size_t colon = text.find(':');
  const std::string_view kind = text.substr(0, colon);
  const std::string_view rest = colon == std::string_view::npos ? std::string_view() : text.substr(colon + 1);
  if (kind == "idx") {
    const FilePair files = split_files(spec, rest);
    return read_idx(files.first, files.second);
  }
  if (kind == "npy") return read_npy_spec(spec, rest, kin);
  if (kind == "csv") return read_csv_spec(spec, rest, kin);
  if (kind == "glyphs") return read_glyphs(spec, rest);
  fail(spec, kForms);
}

Dataset read_spec(std::string_view spec, const std::optional<Kin>& kin) {
  std::string_view text = spec;
  const std::optional<Slice> slice = take_slice(text);
  const Dataset data = read_whole(spec, text, kin);
  if (!slice) return data;
  if (slice->last > data.size()) {
    fail(slice->text, spec, "a slice within the " + std::to_string(data.size()) + " samples of " + data.name());
  }
  return data.slice(slice->first, slice->last);
}

}  // namespace

Dataset read_dataset(std::string_view spec) { return read_spec(spec, std::nullopt); }

Dataset read_dataset(std::string_view spec, const Dataset& like) {
  Dataset data = read_spec(spec, kin_of(like));
  const auto kind = [](const Dataset& d) { return d.has_labels() ? "labels" : "real targets"; };
  require(data.has_labels() == like.has_labels(), kFunction, "received ", printable(spec), " with ", kind(data),
          ", expected ", kind(like), " as of ", like.name());
  if (!like.has_labels()) return data;
  for (std::int64_t n = 0; n < data.size(); ++n) {
    const std::int32_t label = data.labels()[static_cast<std::size_t>(n)];
    require(label < like.outputs(), kFunction, "received ", printable(spec), " with ",
            label_out_of_range(label, n, like.outputs()));
  }
  return data.outputs() < like.outputs() ? data.with_classes(like.outputs()) : data;
}

}  // namespace lossatlas
