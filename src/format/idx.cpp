#include <algorithm>
#include <string>

#include <lossatlas/dataset_io.hpp>

#include "file/byte_source.hpp"
#include "file/bytes.hpp"

namespace lossatlas {
namespace {

constexpr std::string_view kFunction = "read_idx";
constexpr std::size_t kChunk = std::size_t{1} << 16;

std::vector<std::int64_t> read_header(ByteSource& source, int rank, std::string_view content) {
  const FileContext& context = source.context();
  std::array<std::byte, 4> magic{};
  source.read(magic);
  constexpr int kUnsignedByte = 0x08;
  const int type = std::to_integer<int>(magic[2]);
  const int axes = std::to_integer<int>(magic[3]);
  const bool idx = magic[0] == std::byte{0} && magic[1] == std::byte{0};
  if (!idx) source.refuse_foreign("an IDX file");
  context.require(idx, "which is not an IDX file, expected magic number ", rank == 1 ? "0x00000801" : "0x00000803",
                  " of ", content);
  context.require(type == kUnsignedByte, "of IDX element type ", type, ", expected type 8, unsigned bytes");
  context.require(axes == rank, "with ", axes, " IDX axes, expected the ", rank, " of ", content,
                  "; check that images and labels are not exchanged");
  std::vector<std::int64_t> shape;
  for (int axis = 0; axis < rank; ++axis) {
    std::array<std::byte, 4> size{};
    source.read(size);
    shape.push_back(load<std::uint32_t>(size.data(), std::endian::big));
  }
  const std::optional<std::int64_t> count = checked_product(shape);
  context.require(count.has_value() && *count > 0, "with an IDX size that is 0 or beyond 2^63, expected ", content);
  source.require_possible(*count);
  return shape;
}

template <class Store>
void read_bytes(ByteSource& source, std::int64_t count, const Store& store) {
  std::vector<std::byte> chunk(std::min(kChunk, static_cast<std::size_t>(count)));
  for (std::int64_t first = 0; first < count; first += std::ssize(chunk)) {
    const auto part = std::span(chunk).first(std::min(chunk.size(), static_cast<std::size_t>(count - first)));
    source.read(part);
    for (const std::byte byte : part) store(std::to_integer<int>(byte));
  }
  source.require_end();
}

/// "mnist-t10k" for "mnist-t10k-images-idx3-ubyte.gz".
std::string human_name(const std::filesystem::path& images) {
  std::string name = images.filename().string();
  for (const std::string_view ending : {".gz", "-idx3-ubyte", ".idx3-ubyte", "-images"}) {
    if (name.ends_with(ending) && name.size() > ending.size()) name.erase(name.size() - ending.size());
  }
  return name;
}

}  // namespace

Dataset read_idx(const std::filesystem::path& images, const std::filesystem::path& labels) {
  ByteSource image_source(images, kFunction);
  const std::vector<std::int64_t> shape = read_header(image_source, 3, "images (N, rows, columns)");
  ByteSource label_source(labels, kFunction);
  const std::int64_t count = read_header(label_source, 1, "labels (N)")[0];
  label_source.context().require(count == shape[0], "with ", count, " labels, expected the ", shape[0], " of ",
                                 display(images), "; pass files of one data set");
  const std::int64_t features = shape[1] * shape[2];
  constexpr double kWhite = 255.0;
  image_source.context().require_memory(static_cast<double>(count) *
                                        (static_cast<double>(features) * sizeof(double) + sizeof(std::int32_t)));
  std::vector<double> inputs;
  inputs.reserve(static_cast<std::size_t>(count * features));
  read_bytes(image_source, count * features, [&](int byte) { inputs.push_back(byte / kWhite); });
  std::vector<std::int32_t> classes;
  classes.reserve(static_cast<std::size_t>(count));
  read_bytes(label_source, count, [&](int byte) { classes.push_back(byte); });
  const std::int32_t top = *std::max_element(classes.begin(), classes.end());
  return Dataset::classification(std::move(inputs), features, std::move(classes), top + 1, human_name(images));
}

}  // namespace lossatlas
