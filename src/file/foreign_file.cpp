#include "file/foreign_file.hpp"

#include <algorithm>
#include <string>

namespace lossatlas {
namespace {

using namespace std::string_view_literals;

constexpr std::string_view kSaveModel =
    "in Python, safetensors.torch.save_file(model.state_dict(), \"model.safetensors\") makes a "
    "model file of its linear layers, numpy.save one of an array";
constexpr std::string_view kSaveArrays = "save each array by numpy.save as an .npy file, a model by safetensors";
constexpr std::string_view kUnpack = "unpack it first";
constexpr std::string_view kGiveOther = "give the file that the option is for";

struct Kind {
  std::string_view magic;
  std::string_view name;
  std::string_view advice;
};

constexpr Kind kKinds[] = {{"\x89HDF\r\n\x1a\n"sv, "an HDF5 file (Keras, .h5)", kSaveArrays},
                           {"\x80\2\x8a\nl\xfc\x9c"sv, "a PyTorch file (pickle)", kSaveModel},
                           {"\x80\2"sv, "a Python pickle (as of PyTorch)", kSaveModel},
                           {"\x80\3"sv, "a Python pickle (as of PyTorch)", kSaveModel},
                           {"\x80\4"sv, "a Python pickle (as of PyTorch)", kSaveModel},
                           {"\x80\5"sv, "a Python pickle (as of PyTorch)", kSaveModel},
                           {"GGUF\3\0"sv, "a GGUF model", kSaveModel},
                           {kNpyMagic, "an .npy file", kGiveOther},
                           {"\x89PNG\r\n\x1a\n"sv, "a PNG file", kGiveOther},
                           {"\xff\xd8\xff"sv, "a JPEG picture", kGiveOther},
                           {"GIF89a"sv, "a GIF picture", kGiveOther},
                           {"%PDF-"sv, "a PDF file", kGiveOther},
                           {"\0\0\x08\1\0"sv, "an IDX file of labels", kGiveOther},
                           {"\0\0\x08\3\0"sv, "an IDX file of images", kGiveOther},
                           {"MATLAB 5.0"sv, "a MATLAB file", kSaveArrays},
                           {"PAR1\x15"sv, "a Parquet table", "write it as CSV"},
                           {"ARROW1\0\0"sv, "an Arrow table", "write it as CSV"},
                           {"\xd0\xcf\x11\xe0"sv, "a document of Microsoft Office", "save it as CSV"},
                           {"\x1f\x8b"sv, "a gzip file", kUnpack},
                           {"BZh91AY&SY"sv, "a bzip2 file", kUnpack},
                           {"\xfd\x37zXZ"sv, "an xz file", kUnpack},
                           {"\x28\xb5\x2f\xfd"sv, "a Zstandard file", kUnpack},
                           {"\xff\xfe"sv, "a text in UTF-16", "save it in UTF-8"},
                           {"\xfe\xff"sv, "a text in UTF-16", "save it in UTF-8"}};

/// Tells the kind of a zip archive by the name of its first entry, which follows 30 bytes.
Kind archive(std::string_view begin) {
  constexpr std::size_t kHeader = 30;
  const auto byte = [&](std::size_t at) -> std::size_t {
    return at < begin.size() ? static_cast<unsigned char>(begin[at]) : 0;
  };
  const std::string_view entry =
      begin.substr(std::min(kHeader, begin.size())).substr(0, byte(26) == 0 && byte(27) == 0 ? 64 : byte(26));
  const auto has = [&](std::string_view part) { return entry.find(part) != std::string_view::npos; };
  if (has(".npy")) return {{}, "an .npz archive of arrays", kSaveArrays};
  if (has("data.pkl") || has(".format_version")) return {{}, "a PyTorch file (a zip archive of pickles)", kSaveModel};
  if (has("[Content_Types]") || has("xl/")) return {{}, "an Excel table", "save it as CSV"};
  return {{}, "a zip archive (PyTorch's .pt, Keras and others are such)", kSaveModel};
}

/// ONNX is a protocol buffer: field 1 (the version), then one of the first fields as text or message.
bool is_onnx(std::string_view begin) {
  return begin.size() > 4 && begin[0] == 8 && begin[1] >= 1 && begin[1] <= 20 &&
         "\x12\x1a\x22\x32\x3a\x42"sv.find(begin[2]) != std::string_view::npos;
}

/// A safetensors file begins with its header's length in 8 bytes, of which the last four are 0 in practice, then JSON.
bool is_safetensors(std::string_view begin) {
  return begin.size() > 8 && begin.substr(4, 4) == "\0\0\0\0"sv && begin[8] == '{';
}

bool is_json(std::string_view begin) {
  const std::size_t first = begin.find_first_not_of(" \t\r\n");
  if (first == std::string_view::npos || begin[first] != '{') return false;
  const std::size_t next = begin.find_first_not_of(" \t\r\n", first + 1);
  return next != std::string_view::npos && (begin[next] == '"' || begin[next] == '}');
}

}  // namespace

void refuse_foreign(std::string_view begin, std::string_view expected, const FileContext& context) {
  const auto refuse = [&](const Kind& kind) {
    if (kind.name == expected) return;
    context.fail("which is not ", expected, " but ", kind.name, ", expected one; ", kind.advice);
  };
  if (is_safetensors(begin)) refuse({{}, "a safetensors file", kGiveOther});
  if (begin.starts_with("PK\3\4")) refuse(archive(begin));
  if (is_onnx(begin)) refuse({{}, "an ONNX model", kSaveModel});
  if (is_json(begin)) refuse({{}, "a JSON text", kGiveOther});
  const auto found = std::ranges::find_if(kKinds, [&](const Kind& kind) { return begin.starts_with(kind.magic); });
  if (found != std::end(kKinds)) refuse(*found);
}

void refuse_foreign(InputFile& input, std::string_view expected) {
  constexpr std::int64_t kEnough = 128;
  const std::int64_t position = input.size() - input.remaining();
  std::string begin(static_cast<std::size_t>(std::min(input.size(), kEnough)), '\0');
  input.seek(0);
  input.read(std::as_writable_bytes(std::span<char>(begin)));
  input.seek(position);
  refuse_foreign(begin, expected, input.context());
}

}  // namespace lossatlas
