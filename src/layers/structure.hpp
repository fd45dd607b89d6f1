// What a network, a file and a plan need to know of a layer, whatever computes it: the shape of its value, its
// parameters, and its entry in a file. Every kind of layer has these functions, under the same names.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include <lossatlas/add.hpp>
#include <lossatlas/dense.hpp>
#include <lossatlas/shape.hpp>

#include "file/bounded_json.hpp"
#include "file/file_context.hpp"

namespace lossatlas {

/// A weight (out, in, taps) and a bias (out) if there is one; no parameters at all if out is 0.
struct ParameterSizes {
  std::int64_t out = 0;
  std::int64_t in = 0;
  std::int64_t taps = 1;
  bool bias = false;
};

/// Shape of the layer's value for inputs of the given shapes. Throws InvalidArgument that names `node` if they do not
/// fit.
Shape shape_after(const Dense& layer, std::span<const Shape> inputs, std::int64_t node);
Shape shape_after(const Add& layer, std::span<const Shape> inputs, std::int64_t node);

ParameterSizes parameter_sizes(const Dense& layer);
ParameterSizes parameter_sizes(const Add& layer);

/// FLOP of the layer's sums for one sample, without the activation.
double layer_flop(const Dense& layer, std::span<const Shape> inputs);
double layer_flop(const Add& layer, std::span<const Shape> inputs);

/// A whole number from 1 to 2^31 under `key`. Throws FileError.
std::int64_t positive_member(const JsonValue& entry, const char* key, const FileContext& context);

/// The layer's members in a model file's JSON: `"type":"dense","in":2,...`.
std::string file_entry(const Dense& layer);
std::string file_entry(const Add& layer);

/// Reads the members of an entry whose "type" is the layer's. Throws FileError.
void read_entry(const JsonValue& entry, const FileContext& context, Dense& layer);
void read_entry(const JsonValue& entry, const FileContext& context, Add& layer);

}  // namespace lossatlas
