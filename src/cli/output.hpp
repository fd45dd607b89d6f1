// Everything that the program prints: text of unknown origin passes through one_line() here.
#pragma once

#include <string_view>

namespace lossatlas::cli {

/// One line on stdout, by printf's rules, its end added.
[[gnu::format(printf, 1, 2)]] void print_line(const char* format, ...);
/// Several lines on stdout, each by itself.
void print_lines(std::string_view text);
/// Text of the program's own on stdout: help, JSON.
void print_text(std::string_view text);
/// One line on stderr.
void print_error(std::string_view text);

/// Whether everything printed on stdout has arrived; errno says why not.
bool output_arrived();

}  // namespace lossatlas::cli
