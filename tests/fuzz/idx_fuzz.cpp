// IDX files as images and as labels, plain and compressed.
#include <lossatlas/dataset_io.hpp>

#include "fuzzing.hpp"

using namespace lossatlas;
using namespace lossatlas::testing;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const TemporaryFolder folder;
  static const RewrittenFile tried(folder / "tried");
  static const auto images = folder.file("images", idx({3, 2, 2}, "abcdefghijkl"));
  static const auto labels = folder.file("labels", idx({3}, std::string("\1\0\4", 3)));
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  for (const bool as_images : {true, false}) {
    const auto read = [&] {
      return accepted([&] { return as_images ? read_idx(tried.path(), labels) : read_idx(images, tried.path()); });
    };
    tried.store(bytes);
    const auto plain = read();
    if (plain) expect_consistent(*plain);
    if (bytes.starts_with("\x1f\x8b")) continue;
    tried.store(gzip(bytes));
    const auto packed = read();
    expect(plain.has_value() == packed.has_value(), "compression does not decide about what is accepted");
    if (plain) expect(same(*plain, *packed), "a compressed file holds the same");
  }
  return 0;
}
