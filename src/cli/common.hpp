// What the subcommands share: options for model, data and device, and checks of memory.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <CLI/CLI.hpp>
#include <lossatlas/lossatlas.hpp>

#include "numbers.hpp"
#include "session.hpp"

namespace lossatlas::cli {

/// How data sets are written on the command line, for help texts.
extern const char* const kSpecHelp;

/// call(), with errors of the library about the file that `option` names prefixed by the option's name.
template <class Call>
auto for_file(std::string_view option, Call&& call) {
  try {
    return call();
  } catch (const WriteError& error) {
    throw WriteError(std::string(option) + ": " + error.what());
  } catch (const FileError& error) {
    throw FileError(std::string(option) + ": " + error.what());
  }
}

/// The same, with errors about any other value of the option as well.
template <class Call>
auto for_option(std::string_view option, Call&& call) {
  try {
    return for_file(option, std::forward<Call>(call));
  } catch (const InvalidArgument& error) {
    throw InvalidArgument(std::string(option) + ": " + error.what());
  }
}

/// --model and, for files without an architecture, --layers --activation --bias --heads.
struct ModelOptions {
  std::string file;
  std::string layers;
  std::string activation;  ///< without a default: a file of weights fits them all
  std::string bias = "all";
  std::int64_t heads = 1;
  std::string layers_option = "--layers";  ///< under which name the widths are given

  void add_to(CLI::App& command);
  /// Of --layers, --activation, --bias and --heads.
  Network architecture() const;
  Model read() const;
};

/// --device and --threads.
struct DeviceOptions {
  std::string device = "auto";
  int threads = 0;

  void add_to(CLI::App& command);
  /// The device; notes on the session why "auto" became the CPU. Throws DeviceError.
  Device select(Session& session) const;
};

/// --data, --train, ...: a SPEC. Notes on the session the classes that a file's own labels made.
Dataset read_data(std::string_view option, const std::string& spec, Session& session);
/// --test, --transfer, ...: another SPEC for the model of `like`, with labels as there.
Dataset read_data(std::string_view option, const std::string& spec, const Dataset& like);
/// --loss.
Loss read_loss(const std::string& text);
/// --precision.
void add_precision(CLI::App& command, std::string& precision);

/// Throws InvalidArgument naming `option` when the free memory is less than `bytes`.
void check_memory(std::string_view option, double bytes);

}  // namespace lossatlas::cli
