#include "format/safetensors_header.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include "file/bounded_json.hpp"
#include "file/bytes.hpp"
#include "file/foreign_file.hpp"
#include "format/tensor_names.hpp"

namespace lossatlas {
namespace {

using Json = JsonValue;

constexpr std::string_view kMetadata = "__metadata__";
constexpr std::size_t kMaxRank = 64;
constexpr double kJsonFactor = 4;  // copies of a long text: the file, a key, the set of keys

std::vector<std::int64_t> whole_numbers(const Json& object, const char* key, std::string_view name,
                                        const FileContext& context) {
  const Json& list = object[key];
  const bool present = list.is_array() && list.size() <= kMaxRank;
  context.require(present, "with tensor ", printable(name), " without a list ", key, ", expected one");
  std::vector<std::int64_t> values;
  for (const Json& item : list.entries()) {
    const bool fits = item.is_number_unsigned() && item.get<std::uint64_t>() <= std::uint64_t{INT64_MAX};
    context.require(fits, "with tensor ", printable(name), " whose ", key, " has an entry outside 0..2^63-1, ",
                    "expected whole numbers");
    values.push_back(static_cast<std::int64_t>(item.get<std::uint64_t>()));
  }
  return values;
}

TensorEntry parse_entry(const std::string& name, const Json& object, std::int64_t data_bytes,
                        const FileContext& context) {
  context.require(object.is_object() && object.size() == 3 && object.contains("dtype") && object["dtype"].is_string(),
                  "with tensor ", printable(name), " that is malformed, expected dtype, shape and data_offsets");
  TensorEntry entry;
  entry.name = name;
  entry.dtype = object["dtype"].get<std::string>();
  const bool counter = is_counter(name);
  constexpr std::array<std::string_view, 4> kTypes = {"F64", "F32", "F16", "BF16"};
  refuse_batch_norm(name, context);
  context.require(counter || std::find(kTypes.begin(), kTypes.end(), entry.dtype) != kTypes.end(), "with tensor ",
                  printable(name), " of type ", printable(entry.dtype),
                  ", expected F64, F32, F16 or BF16; convert it by float()");
  entry.shape = whole_numbers(object, "shape", name, context);
  const std::vector<std::int64_t> offsets = whole_numbers(object, "data_offsets", name, context);
  context.require(offsets.size() == 2 && offsets[0] <= offsets[1] && offsets[1] <= data_bytes, "with tensor ",
                  printable(name), " whose data_offsets are not inside the ", data_bytes,
                  " bytes of data, expected begin <= end <= that; the file is truncated or its header is wrong");
  entry.begin = offsets[0];
  entry.end = offsets[1];
  if (counter) {
    context.require(entry.end - entry.begin <= 8, "with tensor ", printable(name), " of ", entry.end - entry.begin,
                    " bytes, expected one number, the counter of an averaged model");
    return entry;
  }
  const std::optional<std::int64_t> count = checked_product(entry.shape);
  const std::int64_t bytes = entry.end - entry.begin;
  const bool agrees = count && bytes % entry.element_bytes() == 0 && *count == bytes / entry.element_bytes();
  context.require(agrees, "with tensor ", printable(name), " of ", bytes,
                  " bytes, expected what its shape and dtype say");
  return entry;
}

/// The text under metadata key `lossatlas.network`, or an empty one.
std::string network_metadata(const Json& metadata, const FileContext& context) {
  context.require(metadata.is_object(), "with malformed __metadata__, expected an object of strings");
  for (const auto& [key, value] : metadata.items()) {
    context.require(value.is_string(), "with malformed __metadata__, expected an object of strings");
  }
  const Json* network = metadata.find("lossatlas.network");
  return network != nullptr ? network->get<std::string>() : std::string();
}

void require_gapless(const SafetensorsHeader& header, std::int64_t data_bytes, const FileContext& context) {
  std::int64_t position = 0;
  for (const TensorEntry& entry : header.tensors) {
    context.require(entry.begin == position, "with tensor ", printable(entry.name), " that begins at byte ",
                    entry.begin, " of the data, expected ", position, ": tensors overlap or leave a hole");
    position = entry.end;
  }
  context.require(position == data_bytes, "with ", data_bytes, " bytes of data, expected the ", position,
                  " that its tensors fill; the file is too long or its header is wrong");
}

bool begins_with_brace(InputFile& input) {
  if (input.remaining() == 0) return false;
  const std::int64_t position = input.size() - input.remaining();
  std::array<std::byte, 1> first{};
  input.read(first);
  input.seek(position);
  return first[0] == std::byte{'{'};
}

}  // namespace

SafetensorsHeader read_safetensors_header(InputFile& input) {
  const FileContext& context = input.context();
  constexpr std::uint64_t kMaxHeader = 100'000'000;
  std::array<std::byte, 8> length_bytes{};
  input.read(length_bytes);
  const auto length = load<std::uint64_t>(length_bytes.data(), std::endian::little);
  const std::uint64_t most = std::min(kMaxHeader, static_cast<std::uint64_t>(input.remaining()));
  if (length > most || !begins_with_brace(input)) refuse_foreign(input, "a safetensors file");
  context.require(length <= most, "with a header of ", length, " bytes, expected at most ", most,
                  "; it is truncated or not a safetensors file");
  context.require_memory(kJsonFactor * static_cast<double>(length));
  std::string text(length, '\0');
  input.read(std::as_writable_bytes(std::span<char>(text)));
  const Json json = parse_bounded_json(text, "safetensors header", context);
  SafetensorsHeader header;
  header.data_start = input.size() - input.remaining();
  for (const auto& [name, object] : json.items()) {
    if (name == kMetadata) {
      header.architecture = network_metadata(object, context);
    } else {
      header.tensors.push_back(parse_entry(name, object, input.remaining(), context));
    }
  }
  const auto place = [](const TensorEntry& entry) { return std::pair(entry.begin, entry.end); };
  std::stable_sort(header.tensors.begin(), header.tensors.end(),
                   [&](const TensorEntry& a, const TensorEntry& b) { return place(a) < place(b); });
  require_gapless(header, input.remaining(), context);
  std::erase_if(header.tensors, [](const TensorEntry& entry) { return is_counter(entry.name); });
  return header;
}

}  // namespace lossatlas
