// CSV tables with the target in several columns, and standardised.
#include <charconv>

#include <lossatlas/dataset_io.hpp>

#include "fuzzing.hpp"

using namespace lossatlas;
using namespace lossatlas::testing;

namespace {

void append(std::string& text, double value, char separator) {
  std::array<char, 32> digits{};
  const auto [end, error] = std::to_chars(digits.begin(), digits.end(), value);
  text.append(digits.begin(), end) += separator;
}

double target(const Dataset& data, std::int64_t n) {
  const auto sample = static_cast<std::size_t>(n);
  return data.has_labels() ? data.labels()[sample] : data.targets()[sample];
}

/// The table with a header line and the target last, a label as its number.
std::string written(const Dataset& data) {
  std::string text;
  for (std::int64_t column = 0; column < data.features(); ++column) text += "x" + std::to_string(column) + ",";
  text += "y\n";
  for (std::int64_t n = 0; n < data.size(); ++n) {
    for (const double value : data.input(n)) append(text, value, ',');
    append(text, target(data, n), '\n');
  }
  return text;
}

void expect_round_trip(const Dataset& data, const RewrittenFile& copy) {
  copy.store(written(data));
  const Dataset again = read_csv(copy.path());
  expect(again.features() == data.features() && same(again.inputs(), data.inputs()), "inputs are read as written");
  for (std::int64_t n = 0; n < data.size(); ++n) {
    expect(target(again, n) == target(data, n), "targets are read as written");
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const TemporaryFolder folder;
  static const RewrittenFile tried(folder / "tried.csv");
  static const RewrittenFile copy(folder / "copy.csv");
  tried.store({reinterpret_cast<const char*>(data), size});
  const auto table = accepted([&] { return read_csv(tried.path()); });
  for (const char* column : {"0", "1", "a"}) {
    const auto other = accepted([&] { return read_csv(tried.path(), {.target = column}); });
    if (!other) continue;
    expect_consistent(*other);
    expect_round_trip(*other, copy);
  }
  const std::string spec = "csv:" + tried.path().string() + ",standardise";
  const auto standardised = accepted<Error>([&] { return read_dataset(spec); });
  if (standardised) expect_consistent(*standardised);
  if (!table) return 0;
  expect_consistent(*table);
  expect_round_trip(*table, copy);
  return 0;
}
