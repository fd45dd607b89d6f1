#include <algorithm>
#include <cctype>
#include <cmath>

#include <lossatlas/array.hpp>
#include <lossatlas/pattern.hpp>

#include "file/file_context.hpp"
#include "format/png.hpp"

namespace lossatlas {
namespace {

/// Takes an array (n₁, ..., n_z) for one channel, or (n₁, ..., n_z, channels).
Pattern pattern_of(Array array, std::int64_t channels, const FileContext& context) {
  if (channels > 1) {
    context.require(!array.shape.empty() && array.shape.back() == channels, "whose last axis is ",
                    array.shape.empty() ? 0 : array.shape.back(), ", expected the ", channels, " channels");
    array.shape.pop_back();
  }
  constexpr std::size_t kMaxRank = 3;
  context.require(!array.shape.empty() && array.shape.size() <= kMaxRank && array.size() > 0, "with ",
                  array.shape.size(), " axes and ", array.size(),
                  " values, expected 1 to 3 axes without channels, none empty");
  const auto wrong =
      std::find_if_not(array.values.begin(), array.values.end(), [](double v) { return std::isfinite(v); });
  context.require(wrong == array.values.end(), "whose entry ", wrong - array.values.begin(),
                  " is not finite, expected finite values");
  return Pattern(std::move(array.shape), channels, std::move(array.values), context.file.stem().string());
}

std::string lower_case_ending(const std::filesystem::path& file) {
  std::string ending = file.extension().string();
  for (char& c : ending) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return ending;
}

}  // namespace

Pattern read_picture(const std::filesystem::path& file) {
  Raster raster = read_png(file, "read_picture");
  return Pattern({raster.height, raster.width}, raster.channels, std::move(raster.values), file.stem().string());
}

Pattern read_pattern_npy(const std::filesystem::path& file, std::int64_t channels) {
  require(channels >= 1, "read_pattern_npy", "received ", channels, " channels, expected at least 1");
  return pattern_of(read_npy(file), channels, {file, "read_pattern_npy"});
}

Pattern read_pattern(const std::string& source) {
  if (source == "demo") return demo_picture();
  const std::string ending = lower_case_ending(source);
  if (ending == ".png") return read_picture(source);
  require(ending == ".npy", "read_pattern", "received ", display(source), ", expected a .png or .npy file, or demo");
  constexpr std::int64_t kColours = 3;
  Array array = read_npy(source);
  const bool colours = array.shape.size() == 3 && array.shape.back() == kColours;
  return pattern_of(std::move(array), colours ? kColours : 1, {source, "read_pattern"});
}

}  // namespace lossatlas
