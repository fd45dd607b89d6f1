#include "io/run_header.hpp"

#include <algorithm>
#include <bit>

#include "io/bounded_json.hpp"
#include "io/bytes.hpp"
#include "io/checksum.hpp"

namespace lossatlas {
namespace {

using Json = nlohmann::json;

constexpr std::size_t kWord = sizeof(std::uint64_t);
constexpr std::size_t kAlign = 64;
constexpr JsonLimits kLimits{.depth = 4, .values = 4096};

std::span<const std::byte> bytes_of(std::string_view text) { return std::as_bytes(std::span(text)); }

std::string word(std::uint64_t value) {
  std::string text(kWord, '\0');
  std::copy_n(reinterpret_cast<const char*>(&value), kWord, text.begin());
  return text;
}

std::uint64_t word_at(std::string_view text, std::size_t offset) {
  return load<std::uint64_t>(bytes_of(text.substr(offset, kWord)).data(), std::endian::native);
}

Json to_json(const RunHeader& header) {
  Json identity = Json::array();
  for (const IdentityPart& part : header.identity) {
    identity.push_back({{"name", part.name}, {"text", part.text}, {"hash", part.hash}});
  }
  Json axes = Json::array();
  for (const Axis& axis : header.grid.axes())
    axes.push_back({{"lo", axis.lo}, {"hi", axis.hi}, {"points", axis.points}});
  return {{"identity", identity},    {"axes", axes},
          {"heads", header.heads},   {"shard", header.shard},
          {"shards", header.shards}, {"tile", header.tile_points}};
}

RunHeader from_json(const Json& json) {
  RunHeader header;
  for (const Json& part : json.at("identity"))
    header.identity.push_back({part.at("name"), part.at("text"), part.at("hash")});
  std::vector<Axis> axes;
  for (const Json& axis : json.at("axes")) axes.push_back({axis.at("lo"), axis.at("hi"), axis.at("points")});
  header.grid = Grid(std::move(axes));
  header.heads = json.at("heads");
  header.shard = json.at("shard");
  header.shards = json.at("shards");
  header.tile_points = json.at("tile");
  return header;
}

bool sensible(const RunHeader& header) {
  const std::int64_t points = header.grid.size();
  const bool whole = header.shard == 0 && header.shards == 0;
  const bool part = header.shard >= 1 && header.shard <= header.shards && header.shards <= points;
  return header.grid.rank() <= kMostAxes && header.heads >= 1 && header.heads <= INT64_MAX / 32 / points &&
         (whole || part) && header.tile_points >= 1 && header.tile_points <= points;
}

}  // namespace

std::string differences(const std::vector<IdentityPart>& ours, const std::vector<IdentityPart>& theirs) {
  std::string text;
  const auto list = [&](const std::string& item) { text += (text.empty() ? "" : ", ") + item; };
  for (const IdentityPart& part : ours) {
    const auto other = std::find_if(theirs.begin(), theirs.end(), [&](const auto& t) { return t.name == part.name; });
    if (other == theirs.end()) {
      list("a " + part.name + " that was not recorded");
    } else if (other->text != part.text) {
      list(part.name + ' ' + part.text + " instead of " + other->text);
    } else if (other->hash != part.hash) {
      list("another " + part.name + " of the same description");
    }
  }
  if (text.empty() && ours.size() != theirs.size()) list("fewer parts than were recorded");
  return text;
}

std::string encode(const RunHeader& header, std::string_view magic, const FileContext& context) {
  std::string json = to_json(header).dump(-1, ' ', true, Json::error_handler_t::replace);
  const std::size_t used = magic.size() + kWord + json.size() + kWord;
  json.append((kAlign - used % kAlign) % kAlign, ' ');
  std::string text = std::string(magic) + word(json.size()) + json;
  context.require(text.size() + kWord <= kMostHeaderBytes, "for a header of ", text.size() + kWord,
                  " bytes, expected at most ", kMostHeaderBytes, "; give the network fewer layers");
  return text + word(Checksum().add(bytes_of(text)).value());
}

std::optional<DecodedHeader> decode_run_header(std::string_view start, std::string_view magic,
                                               const FileContext& context) {
  const std::string_view known = start.substr(0, magic.size());
  context.require(known == magic.substr(0, known.size()), "which starts with ", printable(known), ", expected ",
                  printable(magic), "; the file is damaged, of another version or no such file");
  if (start.size() < kMagicSize + kWord) return std::nullopt;
  const std::uint64_t length = word_at(start, kMagicSize);
  context.require(length <= kMostHeaderBytes - kMagicSize - 2 * kWord, "with a header of ", length,
                  " bytes, expected at most ", kMostHeaderBytes, "; the file is damaged");
  const std::size_t end = kMagicSize + kWord + static_cast<std::size_t>(length);
  if (start.size() < end + kWord) return std::nullopt;
  context.require(Checksum().add(bytes_of(start.substr(0, end))).value() == word_at(start, end),
                  "whose header does not match its checksum, expected one that does; the file is damaged");
  const std::string_view text = start.substr(kMagicSize + kWord, static_cast<std::size_t>(length));
  const Json json = parse_bounded_json(text, "header", context, kLimits);
  try {
    DecodedHeader decoded{from_json(json), static_cast<std::int64_t>(end + kWord)};
    if (sensible(decoded.header)) return decoded;
  } catch (const Json::exception&) {
  } catch (const InvalidArgument&) {
  }
  context.fail("whose header lacks an entry or has one out of range, expected one as written by this version");
}

}  // namespace lossatlas
