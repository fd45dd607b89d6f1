#include <cmath>
#include <cstdlib>
#include <numeric>

#include <gtest/gtest.h>
#include <lossatlas/dataset_io.hpp>

#include "expect_error.hpp"
#include "sample_files.hpp"

namespace lossatlas {
namespace {

using namespace testing;

using Values = std::vector<double>;
using Labels = std::vector<std::int32_t>;

Values inputs(const Dataset& data) { return {data.inputs().begin(), data.inputs().end()}; }
Values targets(const Dataset& data) { return {data.targets().begin(), data.targets().end()}; }
Labels labels(const Dataset& data) { return {data.labels().begin(), data.labels().end()}; }

class DatasetIo : public ::testing::Test {
 protected:
  Dataset csv(const std::string& text, CsvOptions options = {}) {
    return read_csv(folder_.file("t.csv", text), options);
  }
  Dataset images(const std::string& image_bytes, const std::string& label_bytes) {
    return read_idx(folder_.file("x", image_bytes), folder_.file("y", label_bytes));
  }
  Dataset arrays(const std::string& x, const std::string& y) {
    return read_npy_dataset(folder_.file("x.npy", x), folder_.file("y.npy", y));
  }

  TemporaryFolder folder_;
  const std::string images_ = idx({3, 1, 2}, std::string("\x00\xff\x33\x66\x99\xcc", 6));
  const std::string labels_ = idx({3}, std::string("\1\0\4", 3));
};

TEST_F(DatasetIo, ReadsIdxPlainAndGzip) {
  for (const Dataset& data :
       {images(images_, labels_), images(gzip(images_), gzip(labels_)), images(images_, gzip(labels_))}) {
    EXPECT_EQ(data.size(), 3);
    EXPECT_EQ(data.features(), 2);
    EXPECT_EQ(data.outputs(), 5);
    EXPECT_EQ(inputs(data), (Values{0, 1, 51 / 255.0, 102 / 255.0, 153 / 255.0, 204 / 255.0}));
    EXPECT_EQ(labels(data), (Labels{1, 0, 4}));
  }
}

TEST_F(DatasetIo, ReadsIdxLargerThanItsBuffers) {
  constexpr std::uint32_t kCount = 997;
  std::string pixels, classes;
  for (std::uint32_t i = 0; i < kCount * 28 * 28; ++i) pixels += static_cast<char>(i * 2654435761u >> 13);
  for (std::uint32_t i = 0; i < kCount; ++i) classes += static_cast<char>(i % 10);
  const std::string image_file = idx({kCount, 28, 28}, pixels);
  const Dataset data = images(gzip(image_file), gzip(idx({kCount}, classes)));
  ASSERT_EQ(data.inputs().size(), pixels.size());
  for (std::size_t i = 0; i < pixels.size(); ++i) {
    ASSERT_EQ(data.inputs()[i], static_cast<unsigned char>(pixels[i]) / 255.0) << i;
  }
  EXPECT_EQ(labels(data).back(), 996 % 10);
}

TEST_F(DatasetIo, ReadsGzipOfSeveralMembers) {
  const Dataset data = images(gzip(images_.substr(0, 5)) + gzip("") + gzip(images_.substr(5)), labels_);
  EXPECT_EQ(inputs(data)[1], 1);
}

TEST_F(DatasetIo, NamesIdxAfterItsStem) {
  const auto y = folder_.file("y", labels_);
  EXPECT_EQ(read_idx(folder_.file("mnist-t10k-images-idx3-ubyte.gz", images_), y).name(), "mnist-t10k");
  EXPECT_EQ(read_idx(folder_.file("train.idx3-ubyte", images_), y).name(), "train");
}

TEST_F(DatasetIo, RefusesWrongIdx) {
  EXPECT_ERROR(images(labels_, labels_), FileError, "with 1 IDX axes, expected the 3 of images");
  EXPECT_ERROR(images(images_, images_), FileError, "y\" with 3 IDX axes");
  EXPECT_ERROR(images(idx({3, 1, 2}, std::string(24, 'x'), 0x0d), labels_), FileError, "element type 13");
  EXPECT_ERROR(images("hello, world", labels_), FileError, "not an IDX file, expected magic number 0x00000803");
  EXPECT_ERROR(images("", labels_), FileError, "truncated");
  EXPECT_ERROR(images(images_, idx({2}, std::string(2, '\0'))), FileError, "with 2 labels, expected the 3");
  EXPECT_ERROR(images(idx({0, 1, 2}, ""), idx({0}, "")), FileError, "size that is 0");
  EXPECT_ERROR(images(images_ + "x", labels_), FileError, "bytes after the last");
  EXPECT_ERROR(images(images_, labels_ + "x"), FileError, "bytes after the last");
  EXPECT_ERROR(images(images_.substr(0, 20), labels_), FileError, "announces 6 bytes, expected at most 4");
  EXPECT_ERROR(images(idx({0xffffffff, 0xffffffff, 0xffffffff}, "x"), labels_), FileError, "beyond 2^63");
  EXPECT_ERROR(images(idx({0xffffffff, 0x10, 0x10}, "x"), labels_), FileError, "header is wrong");
  EXPECT_ERROR(read_idx(folder_ / "none", folder_ / "none"), FileError, "none\" which cannot be opened");
}

TEST_F(DatasetIo, RefusesDamagedGzip) {
  const std::string good = gzip(images_);
  std::string wrong_sum = good;
  wrong_sum[good.size() - 8] = static_cast<char>(wrong_sum[good.size() - 8] ^ 1);
  EXPECT_ERROR(images(wrong_sum, labels_), FileError, "corrupt (incorrect data check)");
  EXPECT_ERROR(images(good.substr(0, good.size() - 1), labels_), FileError, "truncated");
  EXPECT_ERROR(images(good + "trailing", labels_), FileError, "corrupt (incorrect header check)");
  EXPECT_ERROR(images(gzip(images_ + "x"), labels_), FileError, "bytes after the last");
  EXPECT_ERROR(images(gzip(images_.substr(0, 20)), labels_), FileError, "2 bytes too early");
  // A small file may not make the reader allocate what its header invents.
  EXPECT_ERROR(images(gzip(idx({1000000, 1000, 1000}, "")), labels_), FileError, "announces 1000000000000 bytes");
}

TEST_F(DatasetIo, ReadsRealFiles) {
  const char* folder = std::getenv("LOSSATLAS_DATA");
  if (folder == nullptr) GTEST_SKIP() << "LOSSATLAS_DATA is not set";
  const std::string root = std::string(folder) + "/";
  const Dataset iris = read_dataset("csv:" + root + "iris.csv");
  EXPECT_EQ(iris.size(), 150);
  EXPECT_EQ(iris.features(), 4);
  EXPECT_EQ(iris.outputs(), 3);
  EXPECT_EQ(iris.name(), "iris");
  EXPECT_EQ(std::accumulate(iris.labels().begin(), iris.labels().end(), 0), 150);
  const Dataset digits =
      read_dataset("idx:" + root + "mnist-t10k-images-idx3-ubyte.gz," + root + "mnist-t10k-labels-idx1-ubyte.gz");
  EXPECT_EQ(digits.features(), 784);
  Labels counts(10);
  for (const std::int32_t label : digits.labels()) ++counts[static_cast<std::size_t>(label)];
  EXPECT_EQ(counts, (Labels{980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009}));
}

TEST_F(DatasetIo, ReadsCsvWithTextLabels) {
  const Dataset data = csv("a,b,kind\r\n1,2.5,pear\r\n-3e2, +4 ,\"apple\"\r\n5,6,pear\r\n\r\n\r\n");
  EXPECT_EQ(inputs(data), (Values{1, 2.5, -300, 4, 5, 6}));
  EXPECT_EQ(labels(data), (Labels{1, 0, 1}));
  EXPECT_EQ(data.outputs(), 2);
  EXPECT_EQ(data.name(), "t");
}

TEST_F(DatasetIo, ReadsCsvQuotes) {
  const Dataset data = csv("\"1\",\"a, \"\"b\"\"\nc\"\n2,x");
  EXPECT_EQ(inputs(data), (Values{1, 2}));
  EXPECT_EQ(labels(data), (Labels{0, 1}));
  EXPECT_ERROR(csv("1,\"a\n2,b\n"), FileError, "opens on line 1 and never closes");
  EXPECT_ERROR(csv("1,\"a\nb\"\n2,\"b\"x\n"), FileError, "after a closing quote on line 3");
  EXPECT_ERROR(csv("1,a\"b\"\n"), FileError, "quote inside an unquoted field on line 1");
}

TEST_F(DatasetIo, TellsHeadersFromData) {
  EXPECT_EQ(csv("1,a\n2,b\n").size(), 2);
  EXPECT_EQ(csv("x,y\n1,2\n").size(), 1);
  EXPECT_EQ(csv("\xef\xbb\xbf"
                "1,2\n3,4\n")
                .size(),
            2);
  EXPECT_EQ(csv("9,1,2\n3,4,5\n", {.target = "0"}).inputs()[0], 1);
  EXPECT_EQ(csv("x,7\n1,2\n", {.target = "7"}).targets()[0], 2);
}

TEST_F(DatasetIo, FindsTheTargetColumn) {
  EXPECT_EQ(targets(csv("u,v,w\n1,2,3.5\n", {.target = "v"})), Values{2});
  EXPECT_EQ(inputs(csv("u,v,w\n1,2,3.5\n", {.target = "v"})), (Values{1, 3.5}));
  EXPECT_EQ(targets(csv("u,v,w\n1,2,3.5\n", {.target = "0"})), Values{1});
  EXPECT_ERROR(csv("u,v\n1,2\n", {.target = "z"}), FileError, "without a target column \"z\"");
  EXPECT_ERROR(csv("1,2\n1,2\n", {.target = "2"}), FileError, "a number from 0 to 1");
  EXPECT_ERROR(csv("u,v,v\n1,2,3\n", {.target = "v"}), FileError, "several columns named \"v\"");
}

TEST_F(DatasetIo, TellsLabelsFromRealTargets) {
  EXPECT_TRUE(csv("5,0\n5,1\n5,1\n").has_labels());
  EXPECT_EQ(csv("5,0\n5,2\n5,1\n5,1\n").outputs(), 3);
  EXPECT_FALSE(csv("5,0\n5,1\n").has_labels()) << "N > K is asked for";
  EXPECT_FALSE(csv("5,0\n5,2\n5,2\n").has_labels()) << "1 is absent";
  EXPECT_FALSE(csv("5,0\n5,0\n").has_labels()) << "one value only";
  EXPECT_FALSE(csv("5,0\n5,1\n5,0.5\n").has_labels());
  EXPECT_FALSE(csv("5,-1\n5,0\n5,1\n5,1\n").has_labels());
  EXPECT_EQ(targets(csv("5,0\n5,1\n5,0.5\n")), (Values{0, 1, 0.5}));
}

TEST_F(DatasetIo, RefusesWrongCsvWithTheLine) {
  EXPECT_ERROR(csv("a,b\n1,2\n1,2,3\n"), FileError, "3 fields on line 3, expected 2");
  EXPECT_ERROR(csv("a,b\n1,2\n\n1,2\n"), FileError, "1 fields on line 3");
  EXPECT_ERROR(csv("1,2\nx,2\n"), FileError, "the input \"x\" on line 2, column 1");
  EXPECT_ERROR(csv("1,2\nnan,2\n"), FileError, "a missing value, \"nan\", on line 2, column 1");
  EXPECT_ERROR(csv("1,2\n1e999,2\n"), FileError, "line 2");
  EXPECT_ERROR(csv("1,2\n,2\n"), FileError, "a missing value, \"\", on line 2, column 1");
  EXPECT_ERROR(csv("1,2\n1,inf\n"), FileError, "the target \"inf\" on line 2");
  EXPECT_ERROR(csv("1,2\n1,\n"), FileError, "a missing value, \"\", on line 2, column 2");
  EXPECT_ERROR(csv(""), FileError, "without a line of data");
  EXPECT_ERROR(csv("\n\n"), FileError, "without a line of data");
  EXPECT_ERROR(csv("a,b\n"), FileError, "after its header");
  EXPECT_ERROR(csv("1\n2\n"), FileError, "one column");
  std::string many;
  for (int i = 0; i <= 1000; ++i) many += "1,x" + std::to_string(i) + "\n";
  EXPECT_ERROR(csv(many), FileError, "1001 different text targets");
  EXPECT_ERROR(read_csv(folder_ / "none.csv"), FileError, "none.csv");
}

TEST_F(DatasetIo, ReadsNpyPairs) {
  const std::string x = npy("<f4", "(3, 2, 1)", little_list<float>({1, 2, 3, 4, 5, 6}));
  const Dataset digits = arrays(x, npy("|u1", "(3,)", std::string("\0\2\1", 3)));
  EXPECT_EQ(digits.features(), 2);
  EXPECT_EQ(labels(digits), (Labels{0, 2, 1}));
  EXPECT_EQ(digits.outputs(), 3);
  EXPECT_EQ(digits.name(), "x");
  EXPECT_EQ(arrays(x, npy("<f8", "(3,)", little_list<double>({0, 1, 2}))).outputs(), 1);
  const Dataset wide = arrays(x, npy("<f8", "(3, 2)", little_list<double>({0, 1, 2, 3, 4, 5})));
  EXPECT_EQ(wide.outputs(), 2);
  EXPECT_EQ(targets(wide), (Values{0, 1, 2, 3, 4, 5}));
  EXPECT_EQ(arrays(npy("<f8", "(1,)", little(7.0)), npy("<f8", "(1,)", little(7.0))).features(), 1);
}

TEST_F(DatasetIo, ReadsColumnsAndRealIntegers) {
  const std::string x = folder_.file("x.npy", npy("<f8", "(2, 1)", little_list<double>({1, 2})));
  const std::string y = folder_.file("y.npy", npy("|i1", "(2, 1)", std::string("\2\0", 2)));
  EXPECT_EQ(labels(read_npy_dataset(x, y)), (Labels{2, 0}));
  EXPECT_EQ(targets(read_npy_dataset(x, y, {.real = true})), (Values{2, 0}));
  EXPECT_EQ(targets(read_dataset("npy:" + x + "," + y + ",real")), (Values{2, 0}));
  EXPECT_EQ(targets(read_dataset("npy:" + x + "," + y + ",real@1:2")), Values{0});
  const std::string wide = folder_.file("w.npy", npy("|i1", "(2, 2)", "\1\2\3\4"));
  EXPECT_EQ(read_dataset("npy:" + x + "," + wide + ",real").outputs(), 2);
}

TEST_F(DatasetIo, RefusesWrongNpyPairs) {
  const std::string x = npy("<f8", "(2, 1)", little_list<double>({1, 2}));
  EXPECT_ERROR(arrays(x, npy("|u1", "(3,)", "\1\1\1")), FileError, "with 3 targets, expected the 2");
  EXPECT_ERROR(arrays(x, npy("|i1", "(2,)", "\1\xff")), FileError, "label -1 of sample 1, expected 0 to 999");
  EXPECT_ERROR(arrays(x, npy("<i2", "(2,)", little_list<std::int16_t>({0, 1000}))), FileError, "label 1000");
  EXPECT_ERROR(arrays(x, npy("|i1", "(2, 2)", "\1\1\1\1")), FileError, "2 axes and 4 integers");
  EXPECT_ERROR(arrays(x, npy("<f8", "(2,)", little_list<double>({1, NAN}))), FileError, "y.npy\" with entry 1 = nan");
  EXPECT_ERROR(arrays(npy("<f8", "(2,)", little_list<double>({INFINITY, 1})), x), FileError,
               "x.npy\" with entry 0 = inf");
  EXPECT_ERROR(arrays(npy("<f8", "(2, 0)", ""), x), FileError, "empty shape");
  EXPECT_ERROR(arrays(npy("<f8", "()", little(1.0)), x), FileError, "empty shape");
}

TEST_F(DatasetIo, ReadsDescriptions) {
  const std::string x = folder_.file("x", images_), y = folder_.file("y", labels_);
  const std::string table = folder_.file("t.csv", "u,v,w\n1,2,3\n3,2,5\n5,2,9\n");
  EXPECT_EQ(read_dataset("idx:" + x + "," + y).size(), 3);
  const Dataset slice = read_dataset("idx:" + x + "," + y + "@0:2");
  EXPECT_EQ(slice.size(), 2);
  EXPECT_EQ(slice.outputs(), 5) << "a slice keeps the classes of the whole";
  EXPECT_EQ(targets(read_dataset("csv:" + table)), (Values{3, 5, 9}));
  EXPECT_EQ(targets(read_dataset("csv:" + table + ",target=u@1:3")), (Values{3, 5}));
  EXPECT_EQ(read_dataset("tanh3").size(), 50);
  EXPECT_EQ(read_dataset("tanh3@10:20").size(), 10);
  EXPECT_EQ(read_dataset("glyphs:7").size(), 7);
  EXPECT_EQ(inputs(read_dataset("glyphs:7,seed=3")), inputs(glyphs(7, {.seed = 3})));
  EXPECT_EQ(read_dataset("glyphs:7,seed=3@2:4").size(), 2);
}

TEST_F(DatasetIo, StandardisesBeforeSlicing) {
  const std::string table = folder_.file("t.csv", "1,7,0.5\n3,7,0.5\n5,7,0.5\n");
  const Values expected = {0, 0, std::sqrt(1.5), 0};
  for (const std::string options : {",standardise,target=2", ",target=2,standardise"}) {
    const Values values = inputs(read_dataset("csv:" + table + options + "@1:3"));
    ASSERT_EQ(values.size(), 4u);
    for (std::size_t i = 0; i < 4; ++i) EXPECT_NEAR(values[i], expected[i], 1e-15);
  }
}

TEST_F(DatasetIo, ReadsFileNamesWithCommasAndAts) {
  const std::string x = folder_.file("x,1@home", images_), y = folder_.file("y", labels_);
  EXPECT_EQ(read_dataset("idx:" + x + "," + y).size(), 3);
  EXPECT_EQ(read_dataset("idx:" + x + "," + y + "@1:2").size(), 1);
  const std::string table = folder_.file("a,b.csv", "1,2\n");
  EXPECT_EQ(read_dataset("csv:" + table).size(), 1);
}

TEST_F(DatasetIo, RefusesWrongDescriptions) {
  for (const std::string spec : {"",
                                 "mnist",
                                 "idx",
                                 "idx:",
                                 "idx:a",
                                 "idx:a,",
                                 "idx:,b",
                                 "idx:a,b,c",
                                 "csv:",
                                 "csv:,standardise",
                                 "npy:a.npy",
                                 "glyphs",
                                 "glyphs:",
                                 "glyphs:0",
                                 "glyphs:-1",
                                 "glyphs:1e3",
                                 "glyphs:2000000",
                                 "glyphs:5,seed=",
                                 "glyphs:5,sede=1",
                                 "glyphs:5,seed=1,seed=2",
                                 "tanh3:",
                                 "tanh3@",
                                 "tanh3@1",
                                 "tanh3@1:",
                                 "tanh3@:5",
                                 "tanh3@5:5",
                                 "tanh3@5:4",
                                 "tanh3@-1:4",
                                 "tanh3@0:51",
                                 "tanh3@0:99999999999999999999",
                                 "csv:a.csv,standardize",
                                 "csv:a.csv,target=",
                                 "a\nb"}) {
    EXPECT_ERROR(read_dataset(spec), InvalidArgument, "[read_dataset] received \"") << spec;
  }
  EXPECT_ERROR(read_dataset("csv:none.csv"), FileError, "none.csv");
  const std::string folder(100, 'f');
  EXPECT_ERROR(read_dataset("csv:" + folder + ".csv@5:2"), InvalidArgument, "received \"@5:2\" in ");
  EXPECT_ERROR(read_dataset("csv:" + folder + ".csv,standardize,real"), InvalidArgument, "received \"standardize\" in ");
  EXPECT_ERROR(read_dataset("tanh3@0:51"), InvalidArgument, "a slice within the 50 samples of tanh3");
}

}  // namespace
}  // namespace lossatlas
