#include <algorithm>
#include <cmath>

#include <lossatlas/pattern.hpp>

#include "base/check.hpp"

namespace lossatlas {

Pattern::Pattern(std::vector<std::int64_t> shape, std::int64_t channels, std::vector<double> values, std::string name)
    : shape_(std::move(shape)), channels_(channels), values_(std::move(values)), name_(std::move(name)) {
  require(shape_.size() >= 1 && shape_.size() <= 3, "Pattern", "received ", shape_.size(),
          " dimensions, expected 1, 2 or 3");
  require(channels_ >= 1, "Pattern", "received ", channels_, " channels, expected at least 1");
  const std::int64_t points = Grid::unit(shape_).size();
  require(static_cast<std::int64_t>(values_.size()) / channels_ == points &&
              static_cast<std::int64_t>(values_.size()) % channels_ == 0,
          "Pattern", "received ", values_.size(), " values, expected ", points, " points of ", channels_, " channels");
  require_finite(values_, "Pattern", "values");
}

Pattern Pattern::sample(const std::function<void(std::span<const double>, std::span<double>)>& function,
                        std::vector<std::int64_t> shape, std::int64_t channels, std::string name) {
  require(channels >= 1, "Pattern::sample", "received ", channels, " channels, expected at least 1");
  const Grid grid = Grid::unit(shape);
  std::vector<double> values(static_cast<std::size_t>(grid.size() * channels));
  std::vector<double> alpha(shape.size());
  const auto width = static_cast<std::size_t>(channels);
  for (std::int64_t g = 0; g < grid.size(); ++g) {
    grid.point(g, alpha);
    function(alpha, std::span(values).subspan(static_cast<std::size_t>(g) * width, width));
  }
  return Pattern(std::move(shape), channels, std::move(values), std::move(name));
}

Pattern Pattern::sample(const std::function<double(std::span<const double>)>& function, std::vector<std::int64_t> shape,
                        std::string name) {
  return sample([&](std::span<const double> alpha, std::span<double> value) { value[0] = function(alpha); },
                std::move(shape), 1, std::move(name));
}

std::int64_t Pattern::size() const { return static_cast<std::int64_t>(values_.size()) / channels_; }

double Pattern::at(std::int64_t g, std::int64_t channel) const {
  return values_[static_cast<std::size_t>(g * channels_ + channel)];
}

double Pattern::edge_fraction(double threshold) const {
  std::vector<char> edge(static_cast<std::size_t>(size()), 0);
  std::int64_t stride = 1;
  for (std::size_t axis = shape_.size(); axis-- > 0; stride *= shape_[axis]) {
    for (std::int64_t g = 0; g < size(); ++g) {
      if (g / stride % shape_[axis] == shape_[axis] - 1) continue;
      for (std::int64_t k = 0; k < channels_; ++k) {
        if (std::abs(at(g, k) - at(g + stride, k)) > threshold) {
          edge[static_cast<std::size_t>(g)] = edge[static_cast<std::size_t>(g + stride)] = 1;
        }
      }
    }
  }
  std::int64_t count = 0;
  for (const char flag : edge) count += flag;
  return static_cast<double>(count) / static_cast<double>(size());
}

PatternError pattern_error(const Surface& surface, const Pattern& pattern) {
  require(surface.grid.shape() == pattern.shape() && surface.heads == pattern.channels(), "pattern_error",
          "received a surface of ", surface.grid.describe(), ", ", surface.heads, " heads, expected the pattern's ",
          pattern.grid().describe(), ", ", pattern.channels(), " channels");
  PatternError error;
  double square = 0;
  for (std::int64_t k = 0; k < surface.heads; ++k) {
    double offset = 0;
    for (std::int64_t g = 0; g < surface.size(); ++g) offset += surface.at(g, k) - pattern.at(g, k);
    offset /= static_cast<double>(surface.size());
    error.offset.push_back(offset);
    for (std::int64_t g = 0; g < surface.size(); ++g) {
      const double difference = surface.at(g, k) - pattern.at(g, k) - offset;
      square += difference * difference;
      error.max = std::max(error.max, std::abs(difference));
    }
  }
  error.rms = std::sqrt(square / static_cast<double>(surface.losses.size()));
  if (std::isnan(error.rms)) error.max = error.rms;
  error.psnr_db = -20 * std::log10(error.rms);
  return error;
}

}  // namespace lossatlas
