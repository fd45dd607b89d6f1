#include <lossatlas/opened_files.hpp>

#include <algorithm>
#include <functional>
#include <thread>

#include <gtest/gtest.h>
#include <lossatlas/lossatlas.hpp>

#include "sample_files.hpp"

namespace lossatlas {
namespace {

using testing::TemporaryFolder;
namespace fs = std::filesystem;

/// One reader of each kind with the files that it reads.
struct Reader {
  const char* name;
  std::vector<fs::path> files;
  std::function<void()> read;
};

std::vector<Reader> readers(const TemporaryFolder& folder) {
  const auto csv = folder.file("d.csv", "0.5,1\n2,3\n");
  const auto array = folder.file("a.npy", testing::npy("<f8", "(2, 1)", testing::little_list({1.0, 2.0})));
  const auto labels = folder.file("y.npy", testing::npy("<i8", "(2,)", testing::little_list<std::int64_t>({0, 1})));
  const auto images = folder.file("images", testing::gzip(testing::idx({2, 1, 1}, "ab")));
  const auto classes = folder.file("classes", testing::idx({2}, std::string("\0\1", 2)));
  const auto picture = folder.file("p.png", testing::png({.width = 2, .height = 1}, "ab"));
  const auto model = folder / "m.safetensors";
  const auto shard = folder / "1.shard";
  const Network network = mlp({1, 2, 1}, Activation::tanh);
  const std::vector<double> theta = random_parameters(network);
  write_model(model, network, theta);
  const Landscape landscape(network, tanh3(), Loss::mean_squared_error, Device::cpu({.threads = 1}));
  const Section line = make_section(network, theta, random_directions(network, theta, {.count = 1}));
  write_section(shard, landscape, line, Grid::unit({3}), {.shard = Shard{}});
  const auto spec = [](const std::string& text) { return [text] { read_dataset(text); }; };
  return {{"csv", {csv}, spec("csv:" + csv.string() + ",target=1@0:1")},
          {"npy", {array, labels}, spec("npy:" + array.string() + ',' + labels.string())},
          {"idx", {images, classes}, spec("idx:" + images.string() + ',' + classes.string())},
          {"array", {array}, [=] { read_npy(array); }},
          {"picture", {picture}, [=] { read_pattern(picture.string()); }},
          {"pattern", {array}, [=] { read_pattern_npy(array, 1); }},
          {"model", {model}, [=] { read_model(model); }},
          {"shard", {shard}, [=] { shard_grid(shard); }}};
}

TEST(OpenedFiles, EveryReaderReports) {
  const TemporaryFolder folder;
  for (const Reader& reader : readers(folder)) {
    const OpenedFiles opened;
    for (const fs::path& file : reader.files) EXPECT_FALSE(opened.find(file)) << reader.name;
    ASSERT_NO_THROW(reader.read()) << reader.name;
    for (const auto& entry : fs::directory_iterator(folder.path())) {
      const bool read = std::ranges::find(reader.files, entry.path()) != reader.files.end();
      EXPECT_EQ(opened.find(entry.path()).has_value(), read) << reader.name << ": " << entry.path();
    }
  }
}

TEST(OpenedFiles, KnowsAFileByEveryName) {
  const TemporaryFolder folder;
  const auto file = folder.file("a.npy", testing::npy("<f8", "(1,)", testing::little_list({1.0})));
  fs::create_symlink(file, folder / "link");
  fs::create_hard_link(file, folder / "hard");
  folder.file("copy", testing::bytes_of(file));
  fs::create_symlink("nowhere", folder / "dangling");
  const OpenedFiles opened;
  read_npy(folder / "link");
  for (const char* name : {"a.npy", "link", "hard"}) EXPECT_TRUE(opened.find(folder / name) == folder / "link") << name;
  EXPECT_TRUE(opened.find(folder.path() / ".." / folder.path().filename() / "a.npy"));
  for (const char* name : {"copy", "dangling", "absent", ""}) EXPECT_FALSE(opened.find(folder / name)) << name;
  fs::rename(folder / "copy", file);
  EXPECT_FALSE(opened.find(file)) << "another file of the same name";
  EXPECT_TRUE(opened.find(folder / "hard"));
}

TEST(OpenedFiles, TheYoungestOfItsThreadKeepsThem) {
  const TemporaryFolder folder;
  const auto a = folder.file("a.npy", testing::npy("<f8", "(1,)", testing::little_list({1.0})));
  const auto b = folder.file("b.npy", testing::npy("<f8", "(1,)", testing::little_list({1.0})));
  const OpenedFiles outer;
  {
    const OpenedFiles inner;
    read_npy(a);
    EXPECT_TRUE(inner.find(a));
  }
  std::thread([&] { read_npy(a); }).join();
  EXPECT_FALSE(outer.find(a));
  read_npy(b);
  EXPECT_TRUE(outer.find(b));
}

}  // namespace
}  // namespace lossatlas
