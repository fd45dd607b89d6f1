// Damaged files of every format: a reader returns or throws FileError in one line that names the file, and takes no
// memory that the file does not justify.
#include <sys/resource.h>

#include <atomic>
#include <cstdlib>
#include <functional>
#include <iostream>
#include <new>
#include <random>

#include <gtest/gtest.h>
#include <lossatlas/array.hpp>
#include <lossatlas/dataset_io.hpp>
#include <lossatlas/error.hpp>
#include <lossatlas/model_file.hpp>
#include <lossatlas/pattern.hpp>

#include "sample_files.hpp"

namespace {
std::atomic<std::size_t> largest_allocation{0};
}  // namespace

// Inlined, they would look to the compiler like malloc matched with delete.
[[gnu::noinline]] void* operator new(std::size_t size) {
  if (size > largest_allocation) largest_allocation = size;
  if (void* memory = std::malloc(size)) return memory;
  throw std::bad_alloc();
}
[[gnu::noinline]] void* operator new(std::size_t size, const std::nothrow_t&) noexcept { return std::malloc(size); }
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

namespace lossatlas {
namespace {

using namespace testing;
using Path = std::filesystem::path;

constexpr unsigned kSeed = 20191207;
constexpr int kMutations = 3000;

class HostileFiles : public ::testing::Test {
 protected:
  using Reader = std::function<void(const Path&)>;
  using Repair = std::function<std::string(std::string)>;

  HostileFiles() { std::cout << "seed " << kSeed << '\n'; }
  ~HostileFiles() override {
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    // Catches what C libraries take; AddressSanitizer alone keeps a quarter of a gigabyte of freed memory.
    constexpr std::int64_t kMostKilobytes = 700 * 1024;
    EXPECT_LE(usage.ru_maxrss, kMostKilobytes);
  }

  /// True when the reader accepts the bytes; fails the test on anything but a return or a proper FileError.
  bool reads(const std::string& bytes, const Reader& reader) {
    victim_.store(bytes);
    // Decompression makes 1032 bytes of one at most, and a byte becomes a double.
    const std::size_t allowed = 1032 * sizeof(double) * bytes.size() + (std::size_t{1} << 20);
    largest_allocation = 0;
    bool accepted = false;
    try {
      reader(victim_.path());
      accepted = true;
    } catch (const FileError& error) {
      const std::string text = error.what();
      EXPECT_NE(text.find("victim"), std::string::npos) << text;
      EXPECT_EQ(text.find('\n'), std::string::npos) << text;
    } catch (const std::exception& error) {
      ADD_FAILURE() << "not a FileError: " << error.what();
    }
    EXPECT_LE(largest_allocation.load(), allowed);
    return accepted;
  }

  /// Every shorter file is refused.
  void truncate(const std::string& bytes, const Reader& reader) {
    for (std::size_t length = 0; length < bytes.size(); ++length) {
      EXPECT_FALSE(reads(bytes.substr(0, length), reader)) << "the first " << length << " bytes of " << bytes.size();
    }
  }

  /// Random damage, after which `repair` may restore checksums so that it reaches deeper code.
  void mutate(
      const std::string& bytes, const Reader& reader, const Repair& repair = [](std::string b) { return b; }) {
    ASSERT_TRUE(reads(repair(bytes), reader)) << "the undamaged file";
    std::mt19937 random(kSeed);
    for (int i = 0; i < kMutations && !HasFailure(); ++i) {
      SCOPED_TRACE("mutation " + std::to_string(i));
      reads(repair(damage(bytes, random)), reader);
    }
  }

  void attack(const std::string& bytes, const Reader& reader) {
    mutate(bytes, reader);
    truncate(bytes, reader);
  }

  static std::string damage(std::string bytes, std::mt19937& random) {
    for (auto changes = 1 + random() % 3; changes > 0 && !bytes.empty(); --changes) {
      const std::size_t at = random() % bytes.size();
      switch (random() % 8) {
        case 0:
          bytes[at] = '\xff';
          break;
        case 1:
          bytes[at] = '\0';
          break;
        case 2:
          bytes.erase(at, 1 + random() % 8);
          break;
        case 3:
          bytes.insert(at, bytes.substr(random() % bytes.size(), 1 + random() % 8));
          break;
        default:
          bytes[at] = static_cast<char>(bytes[at] ^ (1 << random() % 8));
      }
    }
    return bytes;
  }

  TemporaryFolder folder_;
  const RewrittenFile victim_{folder_ / "victim"};
};

TEST_F(HostileFiles, Npy) {
  const auto reader = [](const Path& file) { read_npy(file); };
  attack(npy("<f8", "(2, 3)", std::string(48, 'x')), reader);
  attack(npy(">i2", "(2, 3)", std::string(12, 'x'), true, 2), reader);
}

TEST_F(HostileFiles, PatternNpy) {
  attack(npy("<f2", "(2, 2, 3)", std::string(24, 'x')), [](const Path& file) { read_pattern_npy(file, 3); });
}

TEST_F(HostileFiles, IdxImages) {
  const Path labels = folder_.file("labels", idx({3}, std::string("\1\0\4", 3)));
  const auto reader = [&](const Path& file) { read_idx(file, labels); };
  const std::string bytes = idx({3, 2, 2}, "abcdefghijkl");
  attack(bytes, reader);
  attack(gzip(bytes), reader);
  mutate(bytes, reader, [](const std::string& plain) { return gzip(plain); });
}

TEST_F(HostileFiles, IdxLabels) {
  const Path images = folder_.file("images", idx({3, 2, 2}, "abcdefghijkl"));
  const auto reader = [&](const Path& file) { read_idx(images, file); };
  const std::string bytes = idx({3}, std::string("\1\0\4", 3));
  attack(bytes, reader);
  attack(gzip(bytes), reader);
}

TEST_F(HostileFiles, NpyDatasets) {
  const Path inputs = folder_.file("x.npy", npy("<f8", "(4, 1)", std::string(32, 'x')));
  const auto targets_of = [&](const Path& file) { read_npy_dataset(inputs, file); };
  attack(npy("|u1", "(4,)", std::string("\0\1\2\3", 4)), targets_of);
  attack(npy("<f4", "(4, 2)", std::string(32, 'x')), targets_of);
  const Path labels = folder_.file("y.npy", npy("|u1", "(4,)", std::string("\0\1\2\3", 4)));
  attack(npy("<f4", "(4, 2)", std::string(32, 'x')), [&](const Path& file) { read_npy_dataset(file, labels); });
}

TEST_F(HostileFiles, Csv) {
  const auto reader = [](const Path& file) { read_csv(file); };
  const std::string text = "a,b,\"kind\"\r\n1,2.5,\"x \"\"y\"\"\"\r\n-3e2,+4,z\r\n5,6,z\r\n";
  mutate(text, reader);
  mutate("1,2,0\n3,4,1\n5,6,1\n", reader);
  for (std::size_t length = 0; length < text.size(); ++length) reads(text.substr(0, length), reader);
}

TEST_F(HostileFiles, Safetensors) {
  const std::string header =
      R"({"__metadata__":{"format":"pt","lossatlas.network":"{\"layers\":[{\"type\":\"dense\",\"in\":2,\"out\":1,)"
      R"(\"bias\":true,\"activation\":\"identity\"}],\"heads\":1}"},)"
      R"("layers.0.weight":{"dtype":"F64","shape":[1,2],"data_offsets":[0,16]},)"
      R"("layers.0.bias":{"dtype":"F64","shape":[1],"data_offsets":[16,24]}})";
  attack(safetensors(header, std::string(24, 'x')), [](const Path& file) { read_model(file); });
}

TEST_F(HostileFiles, SafetensorsOfAnotherProgram) {
  const Network network = mlp({2, 2, 1}, Activation::tanh);
  const std::string header =
      R"({"0.bias":{"dtype":"BF16","shape":[2],"data_offsets":[0,4]},"0.weight":{"dtype":"F16","shape":[2,2],)"
      R"("data_offsets":[4,12]},"2.bias":{"dtype":"F32","shape":[1],"data_offsets":[12,16]},)"
      R"("2.weight":{"dtype":"F64","shape":[1,2],"data_offsets":[16,32]}})";
  attack(safetensors(header, std::string(32, 'x')), [&](const Path& file) { read_model(file, network); });
  attack(safetensors(header, std::string(32, 'x')),
         [](const Path& file) { read_state_dict(file, {.activations = {Activation::tanh}}); });
}

TEST_F(HostileFiles, Png) {
  const auto reader = [](const Path& file) { read_picture(file); };
  const std::string colours = png_chunk("PLTE", "abcdefghi") + png_chunk("tRNS", "xyz");
  const std::vector<std::string> files = {png({.width = 5, .height = 4}, "abcdefghijklmnopqrst"),
                                          png({.width = 9, .height = 2, .depth = 2, .colour = 3, .chunks = colours},
                                              std::string("\x1b\x05\0\x16\x50\x40", 6)),
                                          png({.width = 2,
                                               .height = 3,
                                               .depth = 16,
                                               .colour = 6,
                                               .chunks = png_chunk("tEXt", "key") + png_chunk("gAMA", "abcd")},
                                              std::string(48, 'x'))};
  for (const std::string& file : files) {
    attack(file, reader);
    mutate(file, reader, repair_png);
  }
}

TEST_F(HostileFiles, AnythingToEveryReader) {
  const std::vector<Reader> readers = {[](const Path& file) { read_npy(file); },
                                       [](const Path& file) { read_idx(file, file); },
                                       [](const Path& file) { read_csv(file); },
                                       [](const Path& file) {
                                         read_model(file, mlp({1, 1}, Activation::tanh));
                                       },
                                       [](const Path& file) { read_picture(file); }};
  std::mt19937 random(kSeed);
  for (int i = 0; i < 300; ++i) {
    std::string bytes(random() % 200, '\0');
    for (char& c : bytes) c = static_cast<char>(random());
    for (const Reader& reader : readers) reads(bytes, reader);
  }
}

}  // namespace
}  // namespace lossatlas
