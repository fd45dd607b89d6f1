// Descriptions of data sets, with files of every kind in the working folder.
#include <charconv>
#include <filesystem>

#include <lossatlas/dataset_io.hpp>

#include "fuzzing.hpp"

using namespace lossatlas;
using namespace lossatlas::testing;

namespace {

void make_files(const TemporaryFolder& folder) {
  folder.file("t.csv", "a,b,c\n1,2,0\n3,4,1\n5,6,1\n");
  folder.file("a,b.csv", "1,2,x\n3,4,y\n5,6,y\n");
  folder.file("x.npy", npy("<f8", "(4, 1)", little_list({0.5, 1.0, -2.0, 0.0})));
  folder.file("y.npy", npy("|u1", "(4,)", std::string("\0\1\2\3", 4)));
  folder.file("i", idx({3, 2, 2}, "abcdefghijkl"));
  folder.file("l", idx({3}, std::string("\1\0\4", 3)));
  std::filesystem::current_path(folder.path());
}

/// Whether the description asks for more digits than can be drawn in no time.
bool many_glyphs(std::string_view spec) {
  constexpr std::string_view kGlyphs = "glyphs:";
  constexpr std::uint64_t kFew = 20;
  constexpr std::uint64_t kMost = 1000000;  // more are refused
  if (!spec.starts_with(kGlyphs)) return false;
  std::uint64_t count = 0;
  std::from_chars(spec.data() + kGlyphs.size(), spec.data() + spec.size(), count);
  return count > kFew && count <= kMost;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const TemporaryFolder folder;
  [[maybe_unused]] static const bool made = (make_files(folder), true);
  const std::string_view spec(reinterpret_cast<const char*>(data), size);
  if (spec.find('/') != std::string_view::npos || many_glyphs(spec)) return 0;  // other folders are not ours to read
  const auto set = accepted<Error>([&] { return read_dataset(spec); });
  if (!set) return 0;
  expect_consistent(*set);
  expect(same(read_dataset(spec), *set), "a description stands for one data set");
  const auto first = accepted<Error>([&] { return read_dataset(std::string(spec) + "@0:1"); });
  if (first) expect(first->size() == 1, "a slice has its samples");
  return 0;
}
