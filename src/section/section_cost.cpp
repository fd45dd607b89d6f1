#include "section/section_cost.hpp"

#include <algorithm>
#include <array>
#include <cstdio>

#include "base/check.hpp"

namespace lossatlas {

std::string quantity(double value, const char* unit) {
  constexpr std::array kPrefix = {"", "k", "M", "G", "T", "P", "E"};
  std::size_t step = 0;
  while (value >= 999.5 && step + 1 < kPrefix.size()) value /= 1000, ++step;
  std::array<char, 48> text{};
  std::snprintf(text.data(), text.size(), "%.3g %s%s", value, kPrefix[step], unit);
  return text.data();
}

double SectionCost::floor_seconds(const DeviceRates& rates) const {
  require(rates.flop > 0 && rates.transcendental > 0 && rates.bytes > 0, "SectionCost::floor_seconds",
          "received rates of ", rates.flop, " FLOP, ", rates.transcendental, " transcendental functions and ",
          rates.bytes, " bytes a second, expected positive ones; use measure_rates()");
  const double products = flop / rates.flop, functions = transcendental / rates.transcendental;
  const double computed = rates.overlap ? std::max(products, functions) : products + functions;
  return std::max(computed, bytes / rates.bytes);
}

std::string time_text(double seconds) {
  if (seconds < 0.9995) return quantity(1e3 * seconds, "ms");
  char text[48];
  std::snprintf(text, sizeof text, seconds < 999.5 ? "%.3g s" : "%.0f s", seconds);
  return text;
}

std::string floor_text(const SectionCost& cost, const DeviceRates& rates) {
  const auto part = [](const char* what, double work, double rate, const char* unit) {
    return what + time_text(work / rate) + " at " + quantity(rate, unit);
  };
  return time_text(cost.floor_seconds(rates)) + " (" + part("products ", cost.flop, rates.flop, "FLOP/s") +
         (rates.overlap ? ", or " : " + ") +
         part("transcendental functions ", cost.transcendental, rates.transcendental, "/s") + ", or " +
         part("bytes ", cost.bytes, rates.bytes, "B/s") + ")";
}

}  // namespace lossatlas
