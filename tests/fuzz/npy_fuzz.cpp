// .npy files as arrays, as patterns, and as inputs and targets of data sets.
#include <lossatlas/array.hpp>
#include <lossatlas/dataset_io.hpp>
#include <lossatlas/pattern.hpp>

#include "file/bytes.hpp"
#include "fuzzing.hpp"

using namespace lossatlas;
using namespace lossatlas::testing;

namespace {

constexpr std::int64_t kSamples = 4;

void expect_round_trip(const Array& array, const std::filesystem::path& copy) {
  write_npy(copy, array.shape, array.values);
  const Array again = read_npy(copy);
  expect(again.shape == array.shape && same(again.values, array.values), "an array is read as it was written");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const TemporaryFolder folder;
  static const RewrittenFile tried(folder / "tried.npy");
  static const auto inputs = folder.file("inputs.npy", npy("<f8", "(4, 1)", std::string(32, 'x')));
  static const auto labels = folder.file("labels.npy", npy("|u1", "(4,)", std::string("\0\1\2\3", 4)));
  tried.store({reinterpret_cast<const char*>(data), size});
  const auto array = accepted([&] { return read_npy(tried.path()); });
  if (array) {
    expect(checked_product(array->shape) == array->size(), "an array has the values of its shape");
    expect_round_trip(*array, folder / "copy.npy");
  }
  for (const std::int64_t channels : {1, 3}) {
    const auto pattern = accepted([&] { return read_pattern_npy(tried.path(), channels); });
    if (pattern) expect(array && same(pattern->values(), array->values), "a pattern has the values of the array");
  }
  const auto as_targets = accepted([&] { return read_npy_dataset(inputs, tried.path()); });
  if (as_targets) expect(array && as_targets->size() == kSamples, "targets are an array of as many samples");
  if (as_targets) expect_consistent(*as_targets);
  const auto as_inputs = accepted([&] { return read_npy_dataset(tried.path(), labels); });
  if (as_inputs) expect(array && same(as_inputs->inputs(), array->values), "inputs are the values of the array");
  if (as_inputs) expect_consistent(*as_inputs);
  return 0;
}
