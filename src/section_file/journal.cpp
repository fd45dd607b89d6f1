#include "section_file/journal.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <string>
#include <utility>
#include <vector>

#include "file/checksum.hpp"

namespace lossatlas {
namespace {

constexpr std::string_view kMagic = "LOSSATLAS RUN 01";
static_assert(kMagic.size() == kMagicSize);

struct Record {
  std::uint64_t tile = 0;
  std::uint64_t checksum = 0;  ///< of the tile's bytes
  std::uint64_t own = 0;       ///< of the record and the header
};
constexpr auto kRecord = static_cast<std::int64_t>(sizeof(Record));

std::uint64_t record_checksum(std::uint64_t seed, const Record& record) {
  return Checksum().add(seed).add(record.tile).add(record.checksum).value();
}

std::uint64_t seed_of(std::string_view encoded) { return Checksum().add(std::as_bytes(std::span(encoded))).value(); }

}  // namespace

Journal::Journal(UpdateFile file, std::optional<RunHeader> header, std::int64_t begin, std::uint64_t seed)
    : file_(std::move(file)),
      header_(std::move(header)),
      begin_(begin),
      end_(begin + std::max<std::int64_t>(0, file_.size() - begin) / kRecord * kRecord),
      seed_(seed) {}

Journal Journal::create(const std::filesystem::path& file, std::string_view function, const RunHeader& header) {
  UpdateFile made = UpdateFile::create(file, function);
  try {
    const std::string encoded = encode(header, kMagic, made.context());
    made.write(0, std::as_bytes(std::span(encoded)));
    made.sync();  // if a power cut took the header away, the partial file would belong to an unknown run
    return Journal(std::move(made), header, static_cast<std::int64_t>(encoded.size()), seed_of(encoded));
  } catch (...) {  // a journal without its header would look like a run that did not finish
    made.remove();
    throw;
  }
}

std::optional<Journal> Journal::open(const std::filesystem::path& file, std::string_view function) {
  auto opened = UpdateFile::open(file, function);
  if (!opened) return std::nullopt;
  std::string start(kMostHeaderBytes, '\0');
  start.resize(opened->read(0, std::as_writable_bytes(std::span(start))));
  auto decoded = decode_run_header(start, kMagic, opened->context());
  if (!decoded) return Journal(std::move(*opened), std::nullopt, 0, 0);
  const auto encoded = std::string_view(start).substr(0, static_cast<std::size_t>(decoded->bytes));
  return Journal(std::move(*opened), std::move(decoded->header), decoded->bytes, seed_of(encoded));
}

void Journal::for_each(const std::function<void(std::uint64_t tile, std::uint64_t checksum)>& use) const {
  std::vector<Record> block(4096);
  for (std::int64_t at = begin_; at < end_;) {
    const std::int64_t left = (end_ - at) / kRecord;
    const auto count = static_cast<std::size_t>(std::min<std::int64_t>(std::ssize(block), left));
    const std::size_t got = file_.read(at, std::as_writable_bytes(std::span(block).first(count))) / sizeof(Record);
    for (const Record& record : std::span(block).first(got)) {
      if (record.own == record_checksum(seed_, record)) use(record.tile, record.checksum);
    }
    if (got == 0) return;
    at += static_cast<std::int64_t>(got) * kRecord;
  }
}

void Journal::add(std::uint64_t tile, std::uint64_t checksum) {
  Record record{tile, checksum, 0};
  record.own = record_checksum(seed_, record);
  file_.write(end_, std::as_bytes(std::span(&record, 1)));
  end_ += kRecord;
}

}  // namespace lossatlas
