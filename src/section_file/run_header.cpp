#include "section_file/run_header.hpp"

#include <algorithm>
#include <bit>

#include "file/bounded_json.hpp"
#include "file/bytes.hpp"
#include "file/checksum.hpp"

namespace lossatlas {
namespace {

using Json = JsonValue;

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

std::string to_json(const RunHeader& header) {
  std::vector<std::string> identity, axes;
  for (const IdentityPart& part : header.identity) {
    identity.push_back(text_of(R"({"hash":)", part.hash, R"(,"name":)", json_text(part.name), R"(,"text":)",
                               json_text(part.text), '}'));
  }
  for (const Axis& axis : header.grid.axes()) {
    axes.push_back(
        text_of(R"({"hi":)", json_text(axis.hi), R"(,"lo":)", json_text(axis.lo), R"(,"points":)", axis.points, '}'));
  }
  return text_of(R"({"axes":)", json_list(axes), R"(,"heads":)", header.heads, R"(,"identity":)", json_list(identity),
                 R"(,"shard":)", header.shard, R"(,"shards":)", header.shards, R"(,"tile":)", header.tile_points, '}');
}

/// The entries of a header; throws FileError if one is missing or not of the kind that encode() writes.
class Entries {
 public:
  explicit Entries(const FileContext& context) : context_(context) {}

  void require(bool sensible) const {
    context_.require(sensible,
                     "whose header lacks an entry or has one out of range, expected one as written by this version");
  }
  const Json::Array& list(const Json& object, std::string_view key) const {
    require(object[key].is_array());
    return object[key].entries();
  }
  const std::string& text(const Json& object, std::string_view key) const {
    require(object[key].is_string());
    return object[key].get<std::string>();
  }
  double number(const Json& object, std::string_view key) const {
    require(object[key].is_number());
    return object[key].number();
  }
  std::uint64_t bits(const Json& object, std::string_view key) const {
    require(object[key].is_number_unsigned());
    return object[key].get<std::uint64_t>();
  }
  std::int64_t count(const Json& object, std::string_view key) const {
    require(bits(object, key) <= std::uint64_t{INT64_MAX});
    return static_cast<std::int64_t>(bits(object, key));
  }

 private:
  const FileContext& context_;
};

RunHeader from_json(const Json& json, const Entries& entries) {
  RunHeader header;
  for (const Json& part : entries.list(json, "identity")) {
    header.identity.push_back({entries.text(part, "name"), entries.text(part, "text"), entries.bits(part, "hash")});
  }
  std::vector<Axis> axes;
  for (const Json& axis : entries.list(json, "axes")) {
    axes.push_back({entries.number(axis, "lo"), entries.number(axis, "hi"), entries.count(axis, "points")});
  }
  try {
    header.grid = Grid(std::move(axes));
  } catch (const InvalidArgument&) {
    entries.require(false);
  }
  header.heads = entries.count(json, "heads");
  header.shard = entries.count(json, "shard");
  header.shards = entries.count(json, "shards");
  header.tile_points = entries.count(json, "tile");
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
  std::string json = to_json(header);
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
  const Entries entries(context);
  DecodedHeader decoded{from_json(json, entries), static_cast<std::int64_t>(end + kWord)};
  entries.require(sensible(decoded.header));
  return decoded;
}

}  // namespace lossatlas
