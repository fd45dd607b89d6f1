// What the fuzzers share: properties whose failure ends the process, and calls that may refuse what they are given.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <span>
#include <string_view>

#include <lossatlas/dataset.hpp>
#include <lossatlas/error.hpp>

#include "sample_files.hpp"

namespace lossatlas::testing {

/// Ends the process unless the property holds: to a fuzzer that is a finding.
inline void expect(bool holds, const char* property) {
  if (holds) return;
  std::fprintf(stderr, "does not hold: %s\n", property);
  std::abort();
}

/// What call() returns, or nothing when it throws a Refusal; any other exception ends the process.
template <class Refusal = FileError, class Call>
auto accepted(const Call& call) -> std::optional<decltype(call())> {
  try {
    return call();
  } catch (const Refusal& error) {
    const std::string_view text = error.what();
    const auto control = [](unsigned char byte) { return byte < 0x20 || byte == 0x7f; };
    expect(!text.empty() && std::ranges::none_of(text, control), "a refusal is one line without control characters");
    return std::nullopt;
  }
}

inline bool all_finite(std::span<const double> values) {
  return std::ranges::all_of(values, [](double value) { return std::isfinite(value); });
}

/// Numbers with the same bits.
inline bool same(std::span<const double> a, std::span<const double> b) {
  const auto bits = [](double value) { return std::bit_cast<std::uint64_t>(value); };
  return std::ranges::equal(a, b, {}, bits, bits);
}

inline void expect_consistent(const Dataset& data) {
  const std::int64_t size = data.size();
  expect(size >= 1 && std::ssize(data.inputs()) == size * data.features(), "a data set has the inputs of its shape");
  expect(all_finite(data.inputs()) && all_finite(data.targets()), "a data set is finite");
  if (data.has_labels()) {
    const auto known = [&](std::int32_t label) { return label >= 0 && label < data.outputs(); };
    expect(std::ssize(data.labels()) == size && data.targets().empty(), "every sample has a label");
    expect(std::ranges::all_of(data.labels(), known), "labels are below the number of classes");
  } else {
    expect(std::ssize(data.targets()) == size * data.outputs(), "every sample has its targets");
  }
}

inline bool same(const Dataset& a, const Dataset& b) {
  return a.features() == b.features() && a.outputs() == b.outputs() && same(a.inputs(), b.inputs()) &&
         std::ranges::equal(a.labels(), b.labels()) && same(a.targets(), b.targets());
}

/// A text and what follows its first line end: how an input describes a file whose parts must agree with one another.
struct Recipe {
  std::string_view text;
  std::string_view rest;
};
inline Recipe recipe(std::string_view input) {
  const std::size_t end = std::min(input.find('\n'), input.size());
  return {input.substr(0, end), input.substr(std::min(end + 1, input.size()))};
}

}  // namespace lossatlas::testing
