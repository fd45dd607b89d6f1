// Small files that claim or unfold to much: they are refused before memory is asked for, with the bytes needed.
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <iostream>
#include <string>

#include <gtest/gtest.h>
#include <lossatlas/array.hpp>
#include <lossatlas/dataset_io.hpp>
#include <lossatlas/error.hpp>
#include <lossatlas/model_file.hpp>
#include <lossatlas/pattern.hpp>

#include "sample_files.hpp"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kSanitized = true;
#else
constexpr bool kSanitized = false;
#endif

namespace lossatlas {
namespace {

using namespace testing;
using Path = std::filesystem::path;

constexpr rlim_t kMegabyte = rlim_t{1} << 20;

/// Runs in a process of its own that may take so much more address space, and returns what it says.
std::string in_little_memory(const std::function<void()>& read, rlim_t megabytes) {
  int ends[2];
  if (::pipe(ends) != 0) return "no pipe";
  std::cout.flush();
  const pid_t child = ::fork();
  if (child == 0) {
    std::string said = "read";
    rlimit limit{};
    std::ifstream status("/proc/self/statm");
    rlim_t pages = 0;
    status >> pages;
    limit.rlim_cur = limit.rlim_max = pages * static_cast<rlim_t>(::sysconf(_SC_PAGESIZE)) + megabytes * kMegabyte;
    ::setrlimit(RLIMIT_AS, &limit);
    try {
      read();
    } catch (const Error& error) {
      said = error.what();
    } catch (const std::exception& error) {
      said = std::string("not an error of the library: ") + error.what();
    }
    rusage usage{};
    ::getrusage(RUSAGE_SELF, &usage);
    said += "\npeak " + std::to_string(usage.ru_maxrss);
    [[maybe_unused]] const ssize_t written = ::write(ends[1], said.data(), said.size());
    ::_exit(0);
  }
  ::close(ends[1]);
  std::string said;
  char buffer[4096];
  for (ssize_t count; (count = ::read(ends[0], buffer, sizeof buffer)) > 0;)
    said.append(buffer, static_cast<std::size_t>(count));
  ::close(ends[0]);
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? said : said + " killed by signal " + std::to_string(WTERMSIG(status));
}

class FileMemory : public ::testing::Test {
 protected:
  void SetUp() override {
    if (kSanitized) GTEST_SKIP() << "the shadow memory of sanitizers is beyond any limit";
  }

  /// `part` is what the one line says.
  void refuse(const std::function<void()>& read, const std::string& part, rlim_t megabytes = 256) {
    const std::string said = in_little_memory(read, megabytes);
    const std::string line = said.substr(0, said.find('\n'));
    EXPECT_EQ(line.rfind("[", 0), 0u) << said;
    EXPECT_NE(line.find(part), std::string::npos) << said;
  }

  /// A file whose end is a hole of the disk.
  Path sparse(std::string_view name, const std::string& begin, std::uintmax_t bytes) {
    const Path path = folder_.file(name, begin);
    std::filesystem::resize_file(path, begin.size() + bytes);
    return path;
  }

  TemporaryFolder folder_;
};

const std::string kBytes = " bytes of memory, expected at most the ";

std::string flat_png(std::uint32_t side) {
  const std::string colours = png_chunk("PLTE", "abcdef") + png_chunk("tRNS", "x");
  return png({.width = side, .height = side, .depth = 1, .colour = 3, .chunks = colours},
             std::string(std::size_t{side} * side / 8, '\0'));
}

TEST_F(FileMemory, PictureOfOneColour) {
  const std::string bytes = flat_png(4096);
  EXPECT_LT(bytes.size(), 8000u);
  const Path file = folder_.file("flat.png", bytes);
  refuse([&] { read_picture(file); }, "which needs 4026");  // three doubles for each of 2^24 pixels, and a row
  refuse([&] { read_picture(file); }, kBytes);
}

TEST_F(FileMemory, PictureBeyondTheStatedSize) {
  const Path file = folder_.file("large.png", flat_png(8192));
  refuse([&] { read_picture(file); }, "expected at most 16777216 in all", 4096);
}

TEST_F(FileMemory, PictureWithPackedTexts) {
  std::string text(std::size_t{7} << 20, 'x');
  uLongf size = compressBound(text.size());
  std::string packed(size, '\0');
  compress(reinterpret_cast<Bytef*>(packed.data()), &size, reinterpret_cast<const Bytef*>(text.data()), text.size());
  packed.resize(size);
  std::string chunks;
  for (int i = 0; i < 60; ++i) chunks += png_chunk("zTXt", std::string("key\0\0", 5) + packed);
  const Path file = folder_.file("texts.png", png({.chunks = chunks}, "a"));
  const std::string said = in_little_memory([&] { EXPECT_EQ(read_picture(file).values().size(), 1u); }, 4096);
  EXPECT_EQ(said.substr(0, 5), "read\n") << said;
  EXPECT_LT(std::stol(said.substr(said.find("peak ") + 5)), 200 * 1024) << "kilobytes; the texts unfold to 420 MB";
}

TEST_F(FileMemory, GzipOfImages) {
  constexpr std::uint32_t kCount = 1000000;
  const std::string packed = gzip(idx({kCount, 28, 28}, std::string(1000, '\0')));
  const Path images = folder_.file("x.gz", packed + std::string(kCount, '\0'));
  const Path labels = folder_.file("y.gz", gzip(idx({kCount}, std::string(kCount, '\0'))));
  refuse([&] { read_idx(images, labels); }, "which needs 6276000000" + kBytes);
}

TEST_F(FileMemory, Arrays) {
  const Path bytes = sparse("b.npy", npy("|i1", "(1000000000,)", ""), 1000000000);
  refuse([&] { read_npy(bytes); }, "which needs 8000000000" + kBytes);
  const Path doubles = sparse("d.npy", npy("<f8", "(20000000, 1)", "", true), 160000000);
  refuse([&] { read_npy(doubles); }, "which needs 320000000" + kBytes);
  refuse([&] { read_pattern_npy(bytes); }, kBytes);
}

TEST_F(FileMemory, Models) {
  const std::string header = R"({"0.weight":{"dtype":"F16","shape":[20000,20000],"data_offsets":[0,800000000]}})";
  const Path file = sparse("m.safetensors", safetensors(header, ""), 800000000);
  const Network network = mlp({20000, 20000}, Activation::tanh, {.bias = Bias::none});
  refuse([&] { read_model(file, network); }, "which needs 4000000000" + kBytes);
  std::string length(8, '\0');
  length[3] = 5;  // 83 886 080 bytes of header
  const Path header_only = sparse("h.safetensors", length + "{\"", 90000000);
  refuse([&] { read_model(header_only, network); }, kBytes);
}

TEST_F(FileMemory, Tables) {
  const Path hole = sparse("hole.csv", "1,2\n", std::uintmax_t{3} << 30);
  refuse([&] { read_csv(hole); }, "which needs 3221225476" + kBytes);
  const Path line = folder_.file("line.csv", std::string(std::size_t{20} << 20, ','));
  refuse([&] { read_csv(line); }, "fields on line 1");
  std::string ends;
  for (int i = 0; i < 5000000; ++i) ends += "1,\n";
  refuse([&, file = folder_.file("ends.csv", ends)] { read_csv(file); }, kBytes, 200);
}

TEST_F(FileMemory, BuiltInData) {
  refuse([&] { read_dataset("glyphs:1000000"); }, "which need 6272000000" + kBytes);
}

}  // namespace
}  // namespace lossatlas
