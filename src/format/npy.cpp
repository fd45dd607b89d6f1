#include <algorithm>
#include <string>

#include <lossatlas/array.hpp>

#include "file/atomic_file.hpp"
#include "file/bytes.hpp"
#include "file/foreign_file.hpp"
#include "file/input_file.hpp"
#include "format/npy_header.hpp"

namespace lossatlas {
namespace {

using Decoder = double (*)(const std::byte*, std::endian);

template <class T>
double decode(const std::byte* bytes, std::endian order) {
  return static_cast<double>(load<T>(bytes, order));
}

double decode_half(const std::byte* bytes, std::endian order) {
  return half_to_double(load<std::uint16_t>(bytes, order));
}

double decode_bool(const std::byte* bytes, std::endian) { return *bytes != std::byte{0} ? 1.0 : 0.0; }

Decoder decoder(const NpyHeader& header) {
  switch (header.kind) {
    case 'f':
      return header.bytes == 2 ? decode_half : header.bytes == 4 ? decode<float> : decode<double>;
    case 'b':
      return decode_bool;
    case 'i':
      return header.bytes == 1   ? decode<std::int8_t>
             : header.bytes == 2 ? decode<std::int16_t>
             : header.bytes == 4 ? decode<std::int32_t>
                                 : decode<std::int64_t>;
    default:
      return header.bytes == 1   ? decode<std::uint8_t>
             : header.bytes == 2 ? decode<std::uint16_t>
             : header.bytes == 4 ? decode<std::uint32_t>
                                 : decode<std::uint64_t>;
  }
}

NpyHeader read_header(InputFile& input) {
  const FileContext& context = input.context();
  std::string start(8, '\0');
  input.read(std::as_writable_bytes(std::span<char>(start)));
  if (!start.starts_with(kNpyMagic)) refuse_foreign(input, "an .npy file");
  context.require(start.starts_with(kNpyMagic), "which does not start with \\x93NUMPY, expected an .npy file");
  const int version = start[6];
  context.require(version >= 1 && version <= 3 && start[7] == 0, "of .npy version ", version, ".", int{start[7]},
                  ", expected 1.0, 2.0 or 3.0");
  std::array<std::byte, 4> length_bytes{};
  input.read(std::span(length_bytes).first(version == 1 ? 2 : 4));
  const auto length = load<std::uint32_t>(length_bytes.data(), std::endian::little);
  constexpr std::uint32_t kMaxHeader = 1 << 16;
  context.require(length <= kMaxHeader && length <= input.remaining(), "with a header of ", length,
                  " bytes, expected at most ", std::min<std::int64_t>(kMaxHeader, input.remaining()));
  std::string text(length, '\0');
  input.read(std::as_writable_bytes(std::span<char>(text)));
  return parse_npy_header(text, context);
}

std::vector<double> read_values(InputFile& input, const NpyHeader& header, std::int64_t count) {
  constexpr std::int64_t kChunk = 1 << 16;
  constexpr double kExact = 9007199254740992.0;
  const Decoder convert = decoder(header);
  const bool wide_integer = header.kind != 'f' && header.bytes == 8;
  std::vector<double> values(static_cast<std::size_t>(count));
  std::vector<std::byte> chunk(static_cast<std::size_t>(std::min(count, kChunk) * header.bytes));
  for (std::int64_t first = 0; first < count; first += kChunk) {
    const std::int64_t entries = std::min(kChunk, count - first);
    input.read(std::span(chunk).first(static_cast<std::size_t>(entries * header.bytes)));
    for (std::int64_t i = 0; i < entries; ++i) {
      const double value = convert(chunk.data() + i * header.bytes, header.order);
      if (wide_integer && std::abs(value) >= kExact) {
        input.context().fail("with the integer ", value, " at entry ", first + i,
                             ", expected integers below 2^53, which a double holds exactly; store float64");
      }
      values[static_cast<std::size_t>(first + i)] = value;
    }
  }
  return values;
}

std::vector<double> fortran_to_c(const std::vector<double>& values, const std::vector<std::int64_t>& shape) {
  std::vector<std::int64_t> stride(shape.size(), 1);
  for (std::size_t axis = 1; axis < shape.size(); ++axis) stride[axis] = stride[axis - 1] * shape[axis - 1];
  std::vector<std::int64_t> index(shape.size(), 0);
  std::vector<double> out(values.size());
  std::int64_t source = 0;
  for (double& value : out) {
    value = values[static_cast<std::size_t>(source)];
    for (std::size_t axis = shape.size(); axis-- > 0;) {
      source += stride[axis];
      if (++index[axis] < shape[axis]) break;
      source -= stride[axis] * shape[axis];
      index[axis] = 0;
    }
  }
  return out;
}

}  // namespace

Array read_npy(const std::filesystem::path& file) {
  InputFile input(file, "read_npy");
  const NpyHeader header = read_header(input);
  const std::optional<std::int64_t> count = checked_product(header.shape);
  const bool fits = count.has_value() && *count <= input.remaining();
  input.context().require(fits && *count * header.bytes == input.remaining(), "with ", input.remaining(),
                          " bytes of values, expected what its shape and type say; the file is truncated or too long");
  const bool reorder = header.fortran && header.shape.size() > 1 && *count > 0;  // strides of no values may overflow
  input.context().require_memory((reorder ? 2.0 : 1.0) * sizeof(double) * static_cast<double>(*count));
  Array array;
  array.shape = header.shape;
  array.integral = header.kind != 'f';
  array.values = read_values(input, header, *count);
  if (reorder) array.values = fortran_to_c(array.values, array.shape);
  return array;
}

void write_npy(const std::filesystem::path& file, std::span<const std::int64_t> shape, std::span<const double> values) {
  constexpr std::size_t kMaxRank = 64;
  const bool sizes = std::all_of(shape.begin(), shape.end(), [](std::int64_t size) { return size >= 0; });
  require(sizes && shape.size() <= kMaxRank, "write_npy",
          "received a shape with a negative size or more than 64 axes, ", "expected sizes of at least 0");
  const std::optional<std::int64_t> count = checked_product(shape);
  require(count == static_cast<std::int64_t>(values.size()), "write_npy", "received ", values.size(),
          " values, expected as many as the shape says; pass matching shape and values");
  AtomicFile output(file, "write_npy");
  const std::string header = npy_header_text(shape);
  output.require_space(static_cast<std::int64_t>(header.size() + values.size_bytes()));
  output.write(header);
  output.write(values);
  output.commit();
}

}  // namespace lossatlas
