// PNG pictures: as they are, and with the checksums of their chunks made right.
#include <lossatlas/image.hpp>
#include <lossatlas/pattern.hpp>

#include "fuzzing.hpp"

using namespace lossatlas;
using namespace lossatlas::testing;

namespace {

/// Its values in 8 bits, as a picture of colours.
Image image_of(const Pattern& pattern) {
  Image image{.width = pattern.shape()[1], .height = pattern.shape()[0], .rgb = {}};
  for (std::int64_t g = 0; g < pattern.size(); ++g) {
    for (std::int64_t c = 0; c < 3; ++c) {
      const double value = pattern.at(g, std::min(c, pattern.channels() - 1));
      image.rgb.push_back(static_cast<std::uint8_t>(std::lround(255 * value)));
    }
  }
  return image;
}

void expect_round_trip(const Pattern& pattern, const std::filesystem::path& copy) {
  const Image image = image_of(pattern);
  write_png(copy, image);
  expect(image_of(read_picture(copy)).rgb == image.rgb, "a picture is read as it was written");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  constexpr std::int64_t kSmall = 4096;  // pixels, which are encoded in no time
  static const TemporaryFolder folder;
  static const RewrittenFile tried(folder / "tried.png");
  const std::string bytes(reinterpret_cast<const char*>(data), size);
  for (const std::string& file : {bytes, repair_png(bytes)}) {
    tried.store(file);
    const auto pattern = accepted([&] { return read_picture(tried.path()); });
    if (!pattern) continue;
    const bool grey = pattern->channels() == 1;
    expect(pattern->rank() == 2 && (grey || pattern->channels() == 3), "a picture is grey or has three colours");
    const auto unit = [](double value) { return value >= 0 && value <= 1; };
    expect(std::ranges::all_of(pattern->values(), unit), "values are within 0 and 1");
    if (pattern->size() <= kSmall) expect_round_trip(*pattern, folder / "copy.png");
  }
  return 0;
}
