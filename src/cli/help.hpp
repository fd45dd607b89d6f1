// The layout of --help.
#pragma once

#include <string>

#include <CLI/CLI.hpp>

namespace lossatlas::cli {

/// CLI11's help, with long descriptions of options wrapped.
class HelpFormatter : public CLI::Formatter {
 public:
  HelpFormatter() { column_width(32); }

  std::string make_option_desc(const CLI::Option* option) const override;
};

}  // namespace lossatlas::cli
