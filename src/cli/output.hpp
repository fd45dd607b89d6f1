// Everything that the program prints goes through here; text of unknown origin passes through one_line().
#pragma once

#include <string_view>

namespace lossatlas::cli {

/// Prints one line on stdout by printf's rules and ends it.
[[gnu::format(printf, 1, 2)]] void print_line(const char* format, ...);
/// Prints several lines on stdout, each through one_line().
void print_lines(std::string_view text);
/// Prints the program's own text on stdout: help, JSON.
void print_text(std::string_view text);
/// Prints one line on stderr.
void print_error(std::string_view text);

/// Whether everything printed on stdout has arrived; errno says why not.
bool output_arrived();

}  // namespace lossatlas::cli
