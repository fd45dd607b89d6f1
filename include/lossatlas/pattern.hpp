#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include <lossatlas/export.hpp>
#include <lossatlas/surface.hpp>

namespace lossatlas {

/// A target T: [0, 1]^z → R^H sampled on the unit grid of its shape, in units of loss above an offset.
/// Pixel (r, c) of an n₁ × n₂ picture is α = (r/(n₁−1), c/(n₂−1)), row 0 on top; channels are heads.
/// @snippet api/patterns.cpp pattern
class LOSSATLAS_API Pattern {
 public:
  /// values (n₁, ..., n_z, channels) row-major. Throws InvalidArgument on empty shapes, sizes that disagree,
  /// z outside 1..3, or values that are not finite.
  Pattern(std::vector<std::int64_t> shape, std::int64_t channels, std::vector<double> values,
          std::string name = "pattern");
  /// T(α) = function(α)[channel] on the unit grid; `function` fills its second argument (channels).
  static Pattern sample(const std::function<void(std::span<const double> alpha, std::span<double> value)>& function,
                        std::vector<std::int64_t> shape, std::int64_t channels = 1, std::string name = "function");
  /// The same for a function of one channel.
  static Pattern sample(const std::function<double(std::span<const double> alpha)>& function,
                        std::vector<std::int64_t> shape, std::string name = "function");

  const std::vector<std::int64_t>& shape() const { return shape_; }
  std::int64_t rank() const { return static_cast<std::int64_t>(shape_.size()); }  ///< z
  std::int64_t channels() const { return channels_; }                             ///< H
  std::int64_t size() const;                                                      ///< G
  std::span<const double> values() const { return values_; }                      ///< (G, H)
  double at(std::int64_t g, std::int64_t channel) const;
  Grid grid() const { return Grid::unit(shape_); }
  /// The name given.
  const std::string& name() const { return name_; }
  /// Share of the pixels with a neighbour along an axis that differs by more than `threshold` in some channel.
  double edge_fraction(double threshold = 0.1) const;

 private:
  std::vector<std::int64_t> shape_;
  std::int64_t channels_;
  std::vector<double> values_;
  std::string name_;
};

/// Reads a PNG as a pattern: 1 channel for grey, 3 for RGB; alpha is composited on white; 8 or 16 bits become values in
/// [0, 1].
/// Throws FileError on a file that is not a readable PNG, is larger than 16384 pixels on a side or than 2^24 in all, or
/// needs more memory than there is.
/// @snippet api/patterns.cpp read pattern
LOSSATLAS_API Pattern read_picture(const std::filesystem::path& file);
/// Reads an .npy array (n₁, ..., n_z) of one channel or, with `channels` > 1, (n₁, ..., n_z, channels).
/// @snippet api/patterns.cpp read pattern
LOSSATLAS_API Pattern read_pattern_npy(const std::filesystem::path& file, std::int64_t channels = 1);
/// Reads either, chosen by the file's ending; "demo" is demo_picture(). In a 3-D .npy array, a trailing axis of 3
/// counts as channels.
/// @snippet api/patterns.cpp read pattern
LOSSATLAS_API Pattern read_pattern(const std::string& source);
/// The library's own RGB picture: smooth shading, sharp shapes and lettering.
LOSSATLAS_API Pattern demo_picture(std::int64_t size = 128);

/// How far a surface is from a pattern, less the best constant of each head, a_k = mean(L_k − T_k) ([C19] eq. 8).
struct PatternError {
  std::vector<double> offset;  ///< a_k (H)
  double rms = 0;              ///< over all points and heads
  double max = 0;
  double psnr_db = 0;  ///< −20 log₁₀ rms, for peak 1
};
/// Compares a surface with a pattern. Throws InvalidArgument if shapes or heads differ. A non-finite loss makes the
/// errors NaN.
/// @snippet api/patterns.cpp fit
LOSSATLAS_API PatternError pattern_error(const Surface& surface, const Pattern& pattern);

}  // namespace lossatlas
