// The command line, an argument a line, and the values of options that hold lists.
#include <cmath>
#include <sstream>
#include <vector>

#include "cli/commands.hpp"
#include "cli/common.hpp"
#include "fuzzing.hpp"

using namespace lossatlas;
using namespace lossatlas::testing;

namespace {

std::vector<std::string> lines_of(std::string_view text) {
  std::vector<std::string> lines;
  std::istringstream stream{std::string(text)};
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

/// As main() does; the subcommand does not run.
void parse(std::string_view text) {
  CLI::App app("", "lossatlas");
  cli::Command command;
  cli::add_commands(app, command);
  std::vector<std::string> arguments = lines_of(text);
  arguments.insert(arguments.begin(), "lossatlas");
  std::vector<char*> pointers;
  for (std::string& argument : arguments) pointers.push_back(argument.data());
  std::ostringstream printed;
  try {
    app.parse(static_cast<int>(pointers.size()), pointers.data());
  } catch (const CLI::Success& request) {
    expect(app.exit(request, printed, printed) == 0, "help is a success");
  } catch (const CLI::ParseError& error) {
    expect(error.what()[0] != '\0', "a refusal says why");
  }
}

/// What call() returns, or nothing when it refuses; the program escapes such a message where it prints it.
template <class Call>
auto listed(const Call& call) -> std::optional<decltype(call())> {
  try {
    return call();
  } catch (const InvalidArgument&) {
    return std::nullopt;
  }
}

void try_lists(const std::string& text) {
  constexpr std::int64_t kRank = 2;
  for (const char separator : {',', '/', ':'}) {
    const auto numbers = listed([&] { return cli::parse_numbers("--option", text, separator); });
    if (numbers) expect(!numbers->empty() && all_finite(*numbers), "numbers are finite");
  }
  const auto positive = [](std::int64_t value) { return value >= 1; };
  const auto widths = listed([&] { return cli::parse_widths("--option", text); });
  if (widths) expect(!widths->empty() && std::ranges::all_of(*widths, positive), "widths are positive");
  const auto grid = listed([&] { return cli::parse_grid(text, kRank); });
  if (grid) expect(std::ssize(*grid) == kRank && std::ranges::all_of(*grid, positive), "axes have points");
  const auto ranges = listed([&] { return cli::parse_ranges(text, kRank); });
  if (!ranges) return;
  expect(std::ssize(*ranges) == kRank, "every axis has a range");
  for (const Range& range : *ranges) expect(std::isfinite(range.lo) && std::isfinite(range.hi), "ranges are finite");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  parse(text);
  try_lists(text);
  return 0;
}
