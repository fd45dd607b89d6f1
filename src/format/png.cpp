#include "format/png.hpp"

#include <png.h>

#include <algorithm>
#include <array>
#include <bit>
#include <csetjmp>
#include <cstdio>
#include <cstring>
#include <exception>
#include <span>
#include <string>

#include <lossatlas/rgb_image.hpp>

#include "file/atomic_file.hpp"
#include "file/bytes.hpp"
#include "file/foreign_file.hpp"
#include "file/input_file.hpp"

namespace lossatlas {
namespace {

constexpr std::int64_t kMaxSide = 16384;
constexpr std::int64_t kMaxPixels = std::int64_t{1} << 24;

/// libpng's state. Its errors jump: no function that calls libpng may hold an object with a destructor.
struct Decoder {
  explicit Decoder(std::span<const std::byte> bytes_) : bytes(bytes_) {}
  ~Decoder() { png_destroy_read_struct(&png, &info, nullptr); }
  Decoder(const Decoder&) = delete;
  Decoder& operator=(const Decoder&) = delete;

  png_structp png = nullptr;
  png_infop info = nullptr;
  std::span<const std::byte> bytes;
  std::size_t position = 0;
  std::int64_t file_row_bytes = 0;
  std::array<char, 80> reason{};
};

void on_error(png_structp png, png_const_charp text) {
  auto* decoder = static_cast<Decoder*>(png_get_error_ptr(png));
  std::snprintf(decoder->reason.data(), decoder->reason.size(), "%s", text);
  png_longjmp(png, 1);
}

void on_warning(png_structp, png_const_charp) {}

void on_read(png_structp png, png_bytep out, std::size_t count) {
  auto* decoder = static_cast<Decoder*>(png_get_io_ptr(png));
  if (count > decoder->bytes.size() - decoder->position) png_error(png, "it ends too early");
  std::memcpy(out, decoder->bytes.data() + decoder->position, count);
  decoder->position += count;
}

bool read_header(Decoder& decoder) {
  decoder.png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &decoder, on_error, on_warning);
  if (decoder.png == nullptr) return false;
  if (setjmp(png_jmpbuf(decoder.png)) != 0) return false;
  decoder.info = png_create_info_struct(decoder.png);
  if (decoder.info == nullptr) return false;
  png_set_read_fn(decoder.png, &decoder, on_read);
  // Skips texts and profiles, which may be compressed a thousandfold: only PLTE and tRNS matter.
  png_set_keep_unknown_chunks(decoder.png, PNG_HANDLE_CHUNK_NEVER, nullptr, -1);
  png_read_info(decoder.png, decoder.info);
  decoder.file_row_bytes = static_cast<std::int64_t>(png_get_rowbytes(decoder.png, decoder.info));
  // Expands palette and transparent colour to samples and alpha, and 1, 2 and 4 bits to 8. Leaves gamma alone.
  png_set_expand(decoder.png);
  png_set_interlace_handling(decoder.png);
  png_read_update_info(decoder.png, decoder.info);
  return true;
}

/// Reads all rows of an interlaced picture, or the next row of any other.
bool read_rows(Decoder& decoder, png_bytepp rows, bool interlaced) {
  if (setjmp(png_jmpbuf(decoder.png)) != 0) return false;
  interlaced ? png_read_image(decoder.png, rows) : png_read_row(decoder.png, rows[0], nullptr);
  return true;
}

bool read_end(Decoder& decoder) {
  if (setjmp(png_jmpbuf(decoder.png)) != 0) return false;
  png_read_end(decoder.png, nullptr);
  return true;
}

/// libpng allocates whatever length a chunk claims: checks that each lies inside the file.
void check_chunks(std::span<const std::byte> bytes, const FileContext& context) {
  constexpr std::size_t kSignature = 8;
  constexpr std::size_t kFrame = 12;  // length, type, checksum
  for (std::size_t at = kSignature; at < bytes.size();) {
    const std::size_t left = bytes.size() - at;
    const bool whole = left >= kFrame && load<std::uint32_t>(bytes.data() + at, std::endian::big) <= left - kFrame;
    context.require(whole, "with a PNG chunk at byte ", at, " that goes beyond the file, expected a complete PNG; ",
                    "it is truncated or followed by other data");
    at += kFrame + load<std::uint32_t>(bytes.data() + at, std::endian::big);
  }
}

/// Checks the sizes in IHDR before libpng allocates for them.
void check_start(std::span<const std::byte> bytes, const FileContext& context) {
  constexpr std::size_t kHeader = 33;
  constexpr std::size_t kSignature = 8;
  const bool png =
      bytes.size() >= kSignature && png_sig_cmp(reinterpret_cast<png_const_bytep>(bytes.data()), 0, kSignature) == 0;
  if (!png) {
    const std::string_view begin(reinterpret_cast<const char*>(bytes.data()), std::min<std::size_t>(bytes.size(), 128));
    refuse_foreign(begin, "a PNG file", context);
  }
  context.require(png, "which is not a PNG file, expected one");
  context.require(bytes.size() >= kHeader, "of ", bytes.size(), " bytes, expected a complete PNG; it is truncated");
  const auto width = load<std::uint32_t>(bytes.data() + 16, std::endian::big);
  const auto height = load<std::uint32_t>(bytes.data() + 20, std::endian::big);
  const bool fits = width >= 1 && height >= 1 && width <= kMaxSide && height <= kMaxSide;
  context.require(fits, "of ", width, " x ", height, " pixels, expected 1 to ", kMaxSide, " on a side");
  check_chunks(bytes, context);
}

[[noreturn]] void fail(const Decoder& decoder, const FileContext& context) {
  context.fail("which is not a readable PNG (", decoder.reason.data(), "), expected an intact file");
}

/// Appends samples of `source_channels` as values of the raster's channels.
void convert(std::span<const std::byte> samples, int depth, int source_channels, Raster& raster) {
  const bool alpha = source_channels == 2 || source_channels == 4;
  const int bytes = depth / 8;
  const double white = depth == 16 ? 65535.0 : 255.0;
  const auto sample = [&](std::int64_t index) {
    const std::byte* at = samples.data() + index * bytes;
    return depth == 16 ? load<std::uint16_t>(at, std::endian::big) : std::to_integer<int>(*at);
  };
  const std::int64_t pixels = std::ssize(samples) / bytes / source_channels;
  for (std::int64_t pixel = 0; pixel < pixels; ++pixel) {
    const std::int64_t first = pixel * source_channels;
    const double opacity = alpha ? sample(first + raster.channels) / white : 1.0;
    for (std::int64_t c = 0; c < raster.channels; ++c) {
      raster.values.push_back(sample(first + c) / white * opacity + (1.0 - opacity));
    }
  }
}

/// Reads the values by rows of 8 or 16 bits, big-endian, as libpng delivers them; interlaced pictures all at once.
void read_values(Decoder& decoder, Raster& raster, const FileContext& context) {
  const auto row_bytes = static_cast<std::int64_t>(png_get_rowbytes(decoder.png, decoder.info));
  // Deflate never compresses by more than 1032 to 1.
  constexpr std::int64_t kRatio = 1032;
  context.require(decoder.file_row_bytes * raster.height <= kRatio * std::ssize(decoder.bytes), "of ",
                  decoder.bytes.size(),
                  " bytes, expected more for its size in pixels; it is truncated or its header is wrong");
  const std::int64_t pixels = raster.width * raster.height;
  context.require(pixels <= kMaxPixels, "of ", raster.width, " x ", raster.height, " pixels, expected at most ",
                  kMaxPixels, " in all; scale it down");
  const bool interlaced = png_get_interlace_type(decoder.png, decoder.info) != PNG_INTERLACE_NONE;
  const std::int64_t at_once = interlaced ? raster.height : 1;
  context.require_memory(static_cast<double>(pixels * raster.channels) * sizeof(double) +
                         static_cast<double>(at_once * row_bytes));
  raster.values.reserve(static_cast<std::size_t>(pixels * raster.channels));
  std::vector<std::byte> samples(static_cast<std::size_t>(at_once * row_bytes));
  std::vector<png_bytep> rows;
  for (std::int64_t r = 0; r < at_once; ++r) {
    rows.push_back(reinterpret_cast<png_bytep>(samples.data() + r * row_bytes));
  }
  const int depth = png_get_bit_depth(decoder.png, decoder.info);
  const int source_channels = png_get_channels(decoder.png, decoder.info);
  for (std::int64_t r = 0; r < raster.height; r += at_once) {
    if (!read_rows(decoder, rows.data(), interlaced)) fail(decoder, context);
    convert(samples, depth, source_channels, raster);
  }
  if (!read_end(decoder)) fail(decoder, context);
  context.require(decoder.position == decoder.bytes.size(), "with bytes after the end of its PNG data, expected none");
}

}  // namespace

Raster read_png(const std::filesystem::path& file, std::string_view function) {
  const std::string bytes = read_file(file, function);
  const FileContext context{file, function};
  const auto raw = std::as_bytes(std::span(bytes));
  check_start(raw, context);
  Decoder decoder(raw);
  if (!read_header(decoder)) fail(decoder, context);
  Raster raster;
  raster.width = png_get_image_width(decoder.png, decoder.info);
  raster.height = png_get_image_height(decoder.png, decoder.info);
  raster.channels = png_get_channels(decoder.png, decoder.info) <= 2 ? 1 : 3;
  read_values(decoder, raster, context);
  return raster;
}

struct PngEncoder {
  PngEncoder(const std::filesystem::path& file_, std::int64_t width_, std::int64_t height_, std::string_view function)
      : context{file_, function}, file(file_, function), width(width_), height(height_) {}
  ~PngEncoder() { png_destroy_write_struct(&png, &info); }
  PngEncoder(const PngEncoder&) = delete;
  PngEncoder& operator=(const PngEncoder&) = delete;

  void require_done(bool done) const {
    if (failure) std::rethrow_exception(failure);
    if (!done) context.fail("whose picture cannot be encoded: ", reason.data());
  }

  FileContext context;
  AtomicFile file;
  std::int64_t width, height;
  png_structp png = nullptr;
  png_infop info = nullptr;
  std::exception_ptr failure;  ///< thrown while writing to the file
  std::array<char, 80> reason{};
};

namespace {

void on_encoder_error(png_structp png, png_const_charp text) {
  auto* encoder = static_cast<PngEncoder*>(png_get_error_ptr(png));
  std::snprintf(encoder->reason.data(), encoder->reason.size(), "%s", text);
  png_longjmp(png, 1);
}

bool store(PngEncoder& encoder, std::span<const std::uint8_t> bytes) noexcept {
  try {
    encoder.file.write(std::as_bytes(bytes));
    return true;
  } catch (...) {
    encoder.failure = std::current_exception();
    return false;
  }
}

void on_write(png_structp png, png_bytep bytes, std::size_t count) {
  if (!store(*static_cast<PngEncoder*>(png_get_io_ptr(png)), {bytes, count})) png_error(png, "it cannot be written");
}

void on_flush(png_structp) {}

bool begin(PngEncoder& encoder) {
  encoder.png = png_create_write_struct(PNG_LIBPNG_VER_STRING, &encoder, on_encoder_error, on_warning);
  if (encoder.png == nullptr) return false;
  if (setjmp(png_jmpbuf(encoder.png)) != 0) return false;
  encoder.info = png_create_info_struct(encoder.png);
  if (encoder.info == nullptr) return false;
  png_set_write_fn(encoder.png, &encoder, on_write, on_flush);
  png_set_IHDR(encoder.png, encoder.info, static_cast<png_uint_32>(encoder.width),
               static_cast<png_uint_32>(encoder.height), 8, PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE,
               PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
  png_set_sRGB(encoder.png, encoder.info, PNG_sRGB_INTENT_PERCEPTUAL);
  png_write_info(encoder.png, encoder.info);
  return true;
}

bool write_rows(PngEncoder& encoder, const std::uint8_t* rows, std::int64_t count) {
  if (setjmp(png_jmpbuf(encoder.png)) != 0) return false;
  for (std::int64_t row = 0; row < count; ++row) png_write_row(encoder.png, rows + 3 * row * encoder.width);
  return true;
}

bool end(PngEncoder& encoder) {
  if (setjmp(png_jmpbuf(encoder.png)) != 0) return false;
  png_write_end(encoder.png, encoder.info);
  return true;
}

}  // namespace

PngWriter::PngWriter(const std::filesystem::path& file, std::int64_t width, std::int64_t height,
                     std::string_view function)
    : encoder_(std::make_unique<PngEncoder>(file, width, height, function)) {
  encoder_->require_done(begin(*encoder_));
}

PngWriter::~PngWriter() = default;

void PngWriter::write(std::span<const std::uint8_t> rgb) {
  encoder_->require_done(write_rows(*encoder_, rgb.data(), std::ssize(rgb) / (3 * encoder_->width)));
}

void PngWriter::commit() {
  encoder_->require_done(end(*encoder_));
  encoder_->file.commit();
}

void write_png(const std::filesystem::path& file, const Image& image) {
  constexpr std::string_view kFunction = "write_png";
  constexpr std::int64_t kMaxWritten = 65535;
  const bool sizes = image.width >= 1 && image.height >= 1 && image.width <= kMaxWritten && image.height <= kMaxWritten;
  require(sizes && std::ssize(image.rgb) == image.width * image.height * 3, kFunction, "received an image of ",
          image.width, " x ", image.height, " pixels with ", image.rgb.size(), " samples, expected 1 to ", kMaxWritten,
          " pixels on a side and 3 samples each");
  PngWriter writer(file, image.width, image.height, kFunction);
  writer.write(image.rgb);
  writer.commit();
}

}  // namespace lossatlas
