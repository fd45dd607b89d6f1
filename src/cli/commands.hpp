// The subcommands. Each adds itself with its options to the program and, when chosen, sets `chosen`.
#pragma once

#include <CLI/CLI.hpp>

#include "session.hpp"

namespace lossatlas::cli {

void add_fit(CLI::App& program, Command& chosen);
void add_section(CLI::App& program, Command& chosen);
void add_merge(CLI::App& program, Command& chosen);
void add_convert(CLI::App& program, Command& chosen);
void add_evaluate(CLI::App& program, Command& chosen);
void add_find(CLI::App& program, Command& chosen);
void add_split(CLI::App& program, Command& chosen);
void add_embed(CLI::App& program, Command& chosen);
void add_spectrum(CLI::App& program, Command& chosen);
void add_forecast(CLI::App& program, Command& chosen);
void add_info(CLI::App& program, Command& chosen);
void add_reproduce(CLI::App& program, Command& chosen);

/// Adds all of them, in the order in which --help lists them.
inline void add_commands(CLI::App& program, Command& chosen) {
  for (const auto add : {add_fit, add_section, add_merge, add_convert, add_evaluate, add_find, add_split, add_embed,
                         add_spectrum, add_forecast, add_info, add_reproduce}) {
    add(program, chosen);
  }
}

}  // namespace lossatlas::cli
