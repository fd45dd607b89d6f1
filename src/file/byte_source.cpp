#include "file/byte_source.hpp"

#include <zlib.h>

#include <algorithm>
#include <array>
#include <limits>
#include <new>

#include "file/foreign_file.hpp"

namespace lossatlas {

struct ByteSource::Inflater {
  Inflater() {
    constexpr int kGzip = 16 + MAX_WBITS;
    if (inflateInit2(&stream, kGzip) != Z_OK) throw std::bad_alloc();
  }
  ~Inflater() { inflateEnd(&stream); }
  Inflater(const Inflater&) = delete;
  Inflater& operator=(const Inflater&) = delete;

  z_stream stream{};
  std::array<std::byte, 1 << 16> chunk{};
  bool finished = false;
};

ByteSource::ByteSource(std::filesystem::path file, std::string_view function) : input_(std::move(file), function) {
  std::array<std::byte, 2> start{};
  if (input_.size() < static_cast<std::int64_t>(start.size())) return;
  input_.read(start);
  input_.seek(0);
  if (start == std::array{std::byte{0x1f}, std::byte{0x8b}}) inflater_ = std::make_unique<Inflater>();
}

ByteSource::~ByteSource() = default;

std::size_t ByteSource::inflate(std::span<std::byte> bytes) {
  z_stream& stream = inflater_->stream;
  std::size_t produced = 0;
  while (produced < bytes.size() && !inflater_->finished) {
    if (stream.avail_in == 0) {
      const auto count = std::min<std::int64_t>(input_.remaining(), std::ssize(inflater_->chunk));
      if (count == 0) context().fail("whose gzip data end too early, expected a complete file; it is truncated");
      input_.read(std::span(inflater_->chunk).first(static_cast<std::size_t>(count)));
      stream.next_in = reinterpret_cast<Bytef*>(inflater_->chunk.data());
      stream.avail_in = static_cast<uInt>(count);
    }
    const std::size_t room = std::min<std::size_t>(bytes.size() - produced, std::numeric_limits<int>::max());
    stream.next_out = reinterpret_cast<Bytef*>(bytes.data() + produced);
    stream.avail_out = static_cast<uInt>(room);
    const int status = ::inflate(&stream, Z_NO_FLUSH);
    produced += room - stream.avail_out;
    if (status == Z_STREAM_END) {
      // A gzip file may hold several members in a row.
      inflater_->finished = stream.avail_in == 0 && input_.remaining() == 0;
      if (!inflater_->finished) inflateReset(&stream);
    } else if (status != Z_OK && status != Z_BUF_ERROR) {
      context().fail("whose gzip data are corrupt (", stream.msg != nullptr ? stream.msg : "unknown reason",
                     "), expected an intact file; fetch it again");
    }
  }
  return produced;
}

void ByteSource::read(std::span<std::byte> bytes) {
  if (inflater_ == nullptr) {
    input_.read(bytes);
  } else if (const std::size_t produced = inflate(bytes); produced < bytes.size()) {
    context().fail("which ends ", bytes.size() - produced, " bytes too early after decompression; it is truncated");
  }
}

void ByteSource::require_possible(std::int64_t bytes) const {
  // Deflate never compresses by more than 1032 to 1.
  constexpr std::int64_t kRatio = 1032;
  const std::int64_t most = inflater_ == nullptr ? input_.remaining() : input_.size() * kRatio;
  context().require(bytes <= most, "whose header announces ", bytes, " bytes, expected at most ", most,
                    " in a file of ", input_.size(), " bytes; it is truncated or its header is wrong");
}

void ByteSource::refuse_foreign(std::string_view expected) {
  if (inflater_ == nullptr) lossatlas::refuse_foreign(input_, expected);
}

void ByteSource::require_end() {
  std::array<std::byte, 1> extra{};
  const bool longer = inflater_ == nullptr ? input_.remaining() > 0 : inflate(extra) > 0;
  context().require(!longer,
                    "with bytes after the last that its header announces, expected a file of exactly that length");
}

}  // namespace lossatlas
