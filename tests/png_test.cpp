#include <algorithm>
#include <random>

#include <gtest/gtest.h>
#include <lossatlas/array.hpp>
#include <lossatlas/image.hpp>
#include <lossatlas/pattern.hpp>

#include "expect_error.hpp"
#include "format/png.hpp"
#include "sample_files.hpp"

namespace lossatlas {
namespace {

using namespace testing;

class Png : public ::testing::Test {
 protected:
  Pattern read(const std::string& bytes) { return read_picture(folder_.file("p.png", bytes)); }

  static void expect_values(const Pattern& pattern, std::int64_t channels, const std::vector<double>& expected) {
    EXPECT_EQ(pattern.channels(), channels);
    // Division by the greatest sample and one product with an opacity: three roundings of values up to 1.
    constexpr double kTolerance = 4e-16;
    ASSERT_EQ(pattern.values().size(), expected.size());
    for (std::size_t i = 0; i < expected.size(); ++i) EXPECT_NEAR(pattern.values()[i], expected[i], kTolerance) << i;
  }

  TemporaryFolder folder_;
};

TEST_F(Png, ReadsGreyOfEveryDepth) {
  expect_values(read(png({.width = 3, .height = 1, .depth = 1}, "\xa0")), 1, {1, 0, 1});
  expect_values(read(png({.width = 3, .height = 1, .depth = 2}, "\x1b")), 1, {0, 1 / 3.0, 2 / 3.0});
  expect_values(read(png({.width = 2, .height = 1, .depth = 4}, "\x5f")), 1, {5 / 15.0, 1});
  expect_values(read(png({.width = 2, .height = 2, .depth = 8}, std::string("\0\1\x80\xff", 4))), 1,
                {0, 1 / 255.0, 128 / 255.0, 1});
  expect_values(read(png({.width = 2, .height = 1, .depth = 16}, std::string("\0\1\x80\0", 4))), 1,
                {1 / 65535.0, 32768 / 65535.0});
}

TEST_F(Png, ReadsColours) {
  const Pattern pattern = read(png({.width = 1, .height = 2, .colour = 2}, std::string("\0\x33\xff\x66\x99\xcc", 6)));
  expect_values(pattern, 3, {0, 0.2, 1, 0.4, 0.6, 0.8});
  EXPECT_EQ(pattern.shape(), (std::vector<std::int64_t>{2, 1}));
  EXPECT_EQ(pattern.name(), "p");
  expect_values(read(png({.depth = 16, .colour = 2}, std::string("\0\1\0\2\xff\xff", 6))), 3,
                {1 / 65535.0, 2 / 65535.0, 1});
}

TEST_F(Png, CompositesOnWhite) {
  expect_values(read(png({.width = 3, .height = 1, .colour = 4}, std::string("\x33\xff\x33\0\0\x33", 6))), 1,
                {0.2, 1, 0.8});
  expect_values(read(png({.colour = 6}, std::string("\0\x33\xff\x66", 4))), 3, {0.6, 0.2 * 0.4 + 0.6, 1});
  expect_values(read(png({.depth = 16, .colour = 6}, std::string("\0\0\x80\0\xff\xff\xff\xff", 8))), 3,
                {0, 32768 / 65535.0, 1});
}

TEST_F(Png, ReadsPalettes) {
  const std::string palette = png_chunk("PLTE", std::string("\0\0\0\xff\x33\x66", 6));
  const std::string transparency = png_chunk("tRNS", std::string("\x33", 1));
  expect_values(read(png({.width = 2, .height = 1, .depth = 1, .colour = 3, .chunks = palette}, "\x40")), 3,
                {0, 0, 0, 1, 0.2, 0.4});
  expect_values(read(png({.width = 2, .height = 1, .depth = 8, .colour = 3, .chunks = palette + transparency},
                         std::string("\0\1", 2))),
                3, {0.8, 0.8, 0.8, 1, 0.2, 0.4});
}

TEST_F(Png, ReadsInterlacedPictures) {
  // Adam7 of 2 x 2: the first pass has pixel (0, 0), the sixth (0, 1), the seventh row 1.
  const std::string raw("\0\x33\0\x66\0\x99\xcc", 7);
  std::string packed(64, '\0');
  uLongf size = packed.size();
  compress(reinterpret_cast<Bytef*>(packed.data()), &size, reinterpret_cast<const Bytef*>(raw.data()), raw.size());
  const std::string header = big(std::uint32_t{2}) + big(std::uint32_t{2}) + std::string("\x08\0\0\0\1", 5);
  const std::string bytes = png({}, "a").substr(0, 8) + png_chunk("IHDR", header) +
                            png_chunk("IDAT", packed.substr(0, size)) + png_chunk("IEND", "");
  expect_values(read(bytes), 1, {0.2, 0.4, 0.6, 0.8});
}

TEST_F(Png, AppliesNoGamma) {
  for (const char depth : {8, 16}) {
    const std::string gamma = png_chunk("gAMA", big(std::uint32_t{100000}));
    const std::string rows = depth == 8 ? std::string("\x80") : std::string("\x80\x80");
    expect_values(read(png({.depth = depth, .chunks = gamma}, rows)), 1, {128 / 255.0});
  }
}

TEST_F(Png, WritesWhatItReads) {
  Image image{.width = 37, .height = 23, .rgb = {}};
  for (int i = 0; i < 37 * 23 * 3; ++i) image.rgb.push_back(static_cast<std::uint8_t>(i * 2654435761u >> 11));
  write_png(folder_ / "i.png", image);
  const Pattern pattern = read_picture(folder_ / "i.png");
  EXPECT_EQ(pattern.shape(), (std::vector<std::int64_t>{23, 37}));
  ASSERT_EQ(pattern.values().size(), image.rgb.size());
  for (std::size_t i = 0; i < image.rgb.size(); ++i) ASSERT_EQ(pattern.values()[i], image.rgb[i] / 255.0) << i;
}

TEST_F(Png, WriterChecksSizes) {
  EXPECT_ERROR(write_png(folder_ / "i.png", Image{}), InvalidArgument, "0 x 0 pixels");
  EXPECT_ERROR(write_png(folder_ / "i.png", Image({.width = 2, .height = 1, .rgb = {1, 2, 3}})), InvalidArgument,
               "with 3 samples");
  EXPECT_ERROR(write_png(folder_ / "none/i.png", Image({.width = 1, .height = 1, .rgb = {1, 2, 3}})), FileError,
               "none/i.png");
  EXPECT_EQ(folder_.count(), 0);
}

// The error of the file, not that of the encoder in whose midst it comes.
TEST_F(Png, AFullDiskIsTold) {
  Image image{.width = 700, .height = 700, .rgb = {}};
  std::mt19937 random(1);  // more than a buffer of what cannot be compressed
  for (int i = 0; i < 700 * 700 * 3; ++i) image.rgb.push_back(static_cast<std::uint8_t>(random()));
  EXPECT_ERROR(write_png("/dev/full", image), FileError, "/dev/full\" which cannot be written");
}

TEST_F(Png, RefusesDamagedFiles) {
  const std::string good = png({.width = 2, .height = 2}, "abcd");
  EXPECT_ERROR(read(""), FileError, "not a PNG file");
  EXPECT_ERROR(read("GIF89a and more"), FileError, "p.png\" which is not a PNG file");
  EXPECT_ERROR(read(good.substr(0, 20)), FileError, "truncated");
  EXPECT_ERROR(read(good.substr(0, good.size() - 13)), FileError, "goes beyond the file");
  EXPECT_ERROR(read(good.substr(0, good.size() - 12)), FileError, "not a readable PNG (it ends too early)");
  EXPECT_ERROR(read(good + "x"), FileError, "followed by other data");
  EXPECT_ERROR(read(good + png_chunk("tEXt", "key")), FileError, "bytes after the end");
  std::string flipped = good;
  flipped[45] = static_cast<char>(flipped[45] ^ 4);
  EXPECT_ERROR(read(flipped), FileError, "not a readable PNG (IDAT");
  EXPECT_ERROR(read(png({.width = 2, .height = 3},
                        "ab"
                        "cd"
                        "e")),
               FileError, "not a readable PNG");
  EXPECT_ERROR(read(png({.depth = 5}, "a")), FileError, "not a readable PNG");
  EXPECT_ERROR(read_picture(folder_ / "none.png"), FileError, "none.png");
}

TEST_F(Png, RefusesLargeSizesBeforeAllocating) {
  EXPECT_ERROR(read(png({.width = 16385}, "a")), FileError, "of 16385 x 1 pixels");
  EXPECT_ERROR(read(png({.width = 0}, "a")), FileError, "of 0 x 1 pixels");
  EXPECT_ERROR(read(png({.chunks = big(std::uint32_t{1} << 30) + "tEXtkey"}, "a")), FileError, "goes beyond the file");
  EXPECT_ERROR(read(png({.width = 16384, .height = 16384, .depth = 16, .colour = 6}, "a")), FileError,
               "truncated or its header");
}

TEST_F(Png, PatternsComeFromPictureArrayOrName) {
  folder_.file("a.PNG", png({.colour = 2}, "abc"));
  EXPECT_EQ(read_pattern((folder_ / "a.PNG").string()).channels(), 3);
  EXPECT_EQ(read_pattern("demo").channels(), 3);
  const auto array = folder_.file("a.npy", npy("<f8", "(1, 2, 3)", little_list<double>({0, 1, 2, 3, 4, 5})));
  EXPECT_EQ(read_pattern(array.string()).channels(), 3);
  EXPECT_EQ(read_pattern(array.string()).shape(), (std::vector<std::int64_t>{1, 2}));
  EXPECT_EQ(read_pattern(array.string()).values()[4], 4);
  EXPECT_EQ(read_pattern_npy(array).rank(), 3);
  EXPECT_EQ(read_pattern_npy(array, 3).rank(), 2);
  EXPECT_ERROR(read_pattern_npy(array, 2), FileError, "last axis is 3, expected the 2 channels");
  EXPECT_ERROR(read_pattern_npy(array, 0), InvalidArgument, "0 channels");
  EXPECT_ERROR(read_pattern("face.jpg"), InvalidArgument, "\"face.jpg\", expected a .png or .npy");
}

TEST_F(Png, RefusesArraysThatAreNoPattern) {
  const auto read_array = [&](const std::string& bytes) { return read_pattern_npy(folder_.file("a.npy", bytes)); };
  EXPECT_ERROR(read_array(npy("<f8", "(1, 1, 1, 1)", little(1.0))), FileError, "with 4 axes");
  EXPECT_ERROR(read_array(npy("<f8", "()", little(1.0))), FileError, "with 0 axes");
  EXPECT_ERROR(read_array(npy("<f8", "(0, 3)", "")), FileError, "none empty");
  EXPECT_ERROR(read_array(npy("<f8", "(2,)", little(1.0) + little(std::numeric_limits<double>::quiet_NaN()))),
               FileError, "entry 1 is not finite");
}

}  // namespace
}  // namespace lossatlas
