#include <bit>
#include <cmath>
#include <limits>
#include <numeric>

#include <gtest/gtest.h>
#include <lossatlas/array.hpp>

#include "expect_error.hpp"
#include "sample_files.hpp"

namespace lossatlas {
namespace {

using namespace testing;

constexpr double kInfinity = std::numeric_limits<double>::infinity();

class Npy : public ::testing::Test {
 protected:
  Array read(const std::string& bytes) { return read_npy(folder_.file("a.npy", bytes)); }

  TemporaryFolder folder_;
};

template <class T>
class NpyType : public Npy {};
using Types = ::testing::Types<double, float, std::int8_t, std::int16_t, std::int32_t, std::int64_t, std::uint8_t,
                               std::uint16_t, std::uint32_t, std::uint64_t>;
TYPED_TEST_SUITE(NpyType, Types);

TYPED_TEST(NpyType, ReadsBothByteOrders) {
  using T = TypeParam;
  const char kind = std::is_floating_point_v<T> ? 'f' : std::is_signed_v<T> ? 'i' : 'u';
  const std::string type = std::string(1, kind) + std::to_string(sizeof(T));
  const T low = sizeof(T) == 8 && !std::is_floating_point_v<T> ? T(std::is_signed_v<T> ? -(1LL << 52) : 0)
                                                               : std::numeric_limits<T>::lowest();
  const std::vector<T> values = {T(0), T(1), T(100), low};
  std::string little_data, big_data;
  for (const T value : values) {
    little_data += little(value);
    big_data += big(value);
  }
  for (const Array& array :
       {this->read(npy("<" + type, "(4,)", little_data)), this->read(npy(">" + type, "(4,)", big_data))}) {
    EXPECT_EQ(array.shape, std::vector<std::int64_t>{4});
    EXPECT_EQ(array.values, std::vector<double>(values.begin(), values.end()));
    EXPECT_EQ(array.integral, std::is_integral_v<T>);
  }
}

TEST_F(Npy, ReadsHalves) {
  const std::string data =
      little_list<std::uint16_t>({0x3c00, 0xc000, 0x0001, 0x7bff, 0x3555, 0x03ff, 0x0400, 0xfc00, 0x7e00, 0x8000});
  const Array array = read(npy("<f2", "(10,)", data));
  const std::vector<double> expected = {1, -2, 0x1p-24, 65504, 0x1.554p-2, 0x3ffp-24, 0x1p-14, -kInfinity};
  EXPECT_EQ(std::vector<double>(array.values.begin(), array.values.begin() + 8), expected);
  EXPECT_TRUE(std::isnan(array.values[8]));
  EXPECT_TRUE(array.values[9] == 0 && std::signbit(array.values[9]));
}

TEST_F(Npy, ReadsBooleans) {
  const Array array = read(npy("|b1", "(3,)", std::string("\1\0\1", 3)));
  EXPECT_EQ(array.values, (std::vector<double>{1, 0, 1}));
  EXPECT_TRUE(array.integral);
}

TEST_F(Npy, ReadsFortranOrder) {
  // a[i, j, k] = 100 i + 10 j + k of shape (2, 3, 2); Fortran stores i fastest.
  std::string data;
  std::vector<double> expected;
  for (int k = 0; k < 2; ++k) {
    for (int j = 0; j < 3; ++j) {
      for (int i = 0; i < 2; ++i) data += little(static_cast<std::int16_t>(100 * i + 10 * j + k));
    }
  }
  for (int i = 0; i < 2; ++i) {
    for (int j = 0; j < 3; ++j) {
      for (int k = 0; k < 2; ++k) expected.push_back(100 * i + 10 * j + k);
    }
  }
  const Array array = read(npy("<i2", "(2, 3, 2)", data, true));
  EXPECT_EQ(array.shape, (std::vector<std::int64_t>{2, 3, 2}));
  EXPECT_EQ(array.values, expected);
}

TEST_F(Npy, ReadsScalarsAndEmptyArrays) {
  const Array scalar = read(npy("<f8", "()", little(2.5)));
  EXPECT_TRUE(scalar.shape.empty());
  EXPECT_EQ(scalar.values, std::vector<double>{2.5});
  const Array empty = read(npy("<f8", "(3, 0, 9223372036854775807)", "", true));
  EXPECT_EQ(empty.shape.size(), 3u);
  EXPECT_EQ(empty.size(), 0);
  // Strides of no values: their product may overflow, which UndefinedBehaviorSanitizer sees.
  for (const char* shape : {"(9223372036854775807, 4, 0)", "(4611686018427387904, 2, 2, 0)", "(0, 1, 2)"}) {
    EXPECT_EQ(read(npy("<f8", shape, "", true)).size(), 0) << shape;
  }
}

TEST_F(Npy, ReadsEveryVersionAndSpelling) {
  for (const char version : {1, 2, 3}) {
    EXPECT_EQ(read(npy("<f8", "(1,)", little(7.0), false, version)).values, std::vector<double>{7}) << int{version};
  }
  const Array array = read(npy_with_header("{\"shape\":(1L,2),'fortran_order':False,'descr':'|u1'}   \n", "\3\4"));
  EXPECT_EQ(array.shape, (std::vector<std::int64_t>{1, 2}));
  EXPECT_EQ(array.values, (std::vector<double>{3, 4}));
}

TEST_F(Npy, RoundTripKeepsEveryBit) {
  const std::vector<double> values = {0.1,        -0.0,   std::nan("0x123"),      kInfinity,
                                      -kInfinity, 5e-324, 1.7976931348623157e308, 3};
  for (const std::vector<std::int64_t>& shape : {std::vector<std::int64_t>{8}, {2, 4}, {2, 1, 2, 2}}) {
    write_npy(folder_ / "b.npy", shape, values);
    const Array array = read_npy(folder_ / "b.npy");
    EXPECT_EQ(array.shape, shape);
    ASSERT_EQ(array.size(), 8);
    for (std::size_t i = 0; i < 8; ++i) {
      EXPECT_EQ(std::bit_cast<std::uint64_t>(array.values[i]), std::bit_cast<std::uint64_t>(values[i])) << i;
    }
  }
  write_npy(folder_ / "c.npy", {}, std::vector<double>{1});
  EXPECT_TRUE(read_npy(folder_ / "c.npy").shape.empty());
}

TEST_F(Npy, ReadsMoreThanOneChunk) {
  std::vector<double> values(3 * 65536 + 17);
  std::iota(values.begin(), values.end(), 0.5);
  const std::vector<std::int64_t> shape = {static_cast<std::int64_t>(values.size())};
  write_npy(folder_ / "b.npy", shape, values);
  EXPECT_EQ(read_npy(folder_ / "b.npy").values, values);
}

TEST_F(Npy, WritesTheFormatOfNumpy) {
  write_npy(folder_ / "b.npy", std::vector<std::int64_t>{2, 1}, std::vector<double>{1, 2});
  std::string dict = "{'descr': '<f8', 'fortran_order': False, 'shape': (2, 1), }";
  dict.append(128 - 10 - dict.size() - 1, ' ').append("\n");
  EXPECT_EQ(bytes_of(folder_ / "b.npy"), npy_with_header(dict, little(1.0) + little(2.0)));
  write_npy(folder_ / "b.npy", std::vector<std::int64_t>{1}, std::vector<double>{1});
  EXPECT_NE(bytes_of(folder_ / "b.npy").find("'shape': (1,), }"), std::string::npos);
}

TEST_F(Npy, RefusesWrongSizes) {
  EXPECT_ERROR(read(npy("<f8", "(2,)", little(1.0))), FileError, "with 8 bytes of values");
  EXPECT_ERROR(read(npy("<f8", "(2,)", little(1.0) + little(1.0) + "x")), FileError, "truncated or too long");
  EXPECT_ERROR(read(npy("<f8", "(4611686018427387904, 8)", "12345678")), FileError, "shape");
  EXPECT_ERROR(read(npy("<f8", "(2305843009213693953,)", "12345678")), FileError, "shape");
  EXPECT_ERROR(read(npy("<f8", "(9223372036854775808,)", "")), FileError, "at most 2^63");
  EXPECT_ERROR(read(npy("<f8", "(-1,)", "")), FileError, "a size");
}

TEST_F(Npy, RefusesMalformedHeaders) {
  const std::string rest = ", 'fortran_order': False, 'shape': (1,)}";
  for (const std::string descr :
       {"'<f1'", "'<c8'", "'|O'", "'|f8'", "'=f8'", "'<f16'", "'<U4'", "[('a', '<f8')]", "' <f8'"}) {
    EXPECT_ERROR(read(npy_with_header("{'descr': " + descr + rest, little(1.0))), FileError, "astype('float64')")
        << descr;
  }
  for (const std::string dict :
       {"", "{", "{}", "{'descr': '<f8'}", "{'descr': '<f8', 'descr': '<f8'", "{'descr': '<f8'", "['descr']",
        "{'descr': '<f8', 'fortran_order': 0, 'shape': (1,)}", "{'descr': '<f8', 'fortran_order': False, 'shape': (1)}",
        "{'descr': '<f8', 'fortran_order': False, 'shape': 1}",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (1,}",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (1,), 'more': 1}", "{'descr': '<f8",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (1,)} x"}) {
    EXPECT_ERROR(read(npy_with_header(dict, little(1.0))), FileError, "header is malformed") << dict;
  }
}

TEST_F(Npy, RefusesOtherFiles) {
  EXPECT_ERROR(read("PNG or so"), FileError, "expected an .npy file");
  EXPECT_ERROR(read(""), FileError, "of 0 bytes");
  EXPECT_ERROR(read(npy("<f8", "(1,)", little(1.0), false, 4)), FileError, "version 4");
  EXPECT_ERROR(read(std::string("\x93NUMPY\2\0\xff\xff\xff\xff", 12)), FileError, "header of 4294967295 bytes");
  EXPECT_ERROR(read_npy(folder_ / "none.npy"), FileError, "none.npy\" which cannot be opened (No such file");
  EXPECT_ERROR(read_npy(folder_.path()), FileError, "a directory");
  EXPECT_ERROR(read_npy("/dev/zero"), FileError, "not a regular file");
}

TEST_F(Npy, RefusesIntegersThatADoubleCannotHold) {
  EXPECT_ERROR(read(npy("<i8", "(2,)", little(std::int64_t{1}) + little((std::int64_t{1} << 53) + 1))), FileError,
               "at entry 1");
  EXPECT_ERROR(read(npy("<u8", "(1,)", little(~std::uint64_t{0}))), FileError, "2^53");
}

TEST_F(Npy, WriterChecksShape) {
  const std::vector<double> values(6);
  const auto write = [&](const std::vector<std::int64_t>& shape) { write_npy(folder_ / "b.npy", shape, values); };
  EXPECT_ERROR(write({5}), InvalidArgument, "received 6 values");
  EXPECT_ERROR(write(std::vector<std::int64_t>({-2, -3})), InvalidArgument, "negative size");
  EXPECT_ERROR(write(std::vector<std::int64_t>({std::int64_t{1} << 62, 8})), InvalidArgument,
               "as many as the shape says");
  EXPECT_EQ(folder_.count(), 0);
}

}  // namespace
}  // namespace lossatlas
