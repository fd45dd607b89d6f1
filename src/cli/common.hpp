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

/// Calls call(); prefixes the library's errors about the file that `option` names with the option's name.
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

/// The same, also for errors about any other value of the option.
template <class Call>
auto for_option(std::string_view option, Call&& call) {
  try {
    return for_file(option, std::forward<Call>(call));
  } catch (const InvalidArgument& error) {
    throw InvalidArgument(std::string(option) + ": " + error.what());
  }
}

/// --model and, for files of other programs, --activation and --heads, and to check them --layers and --bias.
struct ModelOptions {
  std::string file;
  std::string layers;
  std::string activation;  ///< of all hidden layers, or a list; no default: a file of weights fits every activation
  std::string bias;        ///< empty: not given, all or what the file tells
  std::int64_t heads = 0;  ///< 0: not given, 1 or what the file tells
  std::string file_option = "--model";     ///< as CLI11 takes it
  std::string layers_option = "--layers";  ///< the option that gives the widths

  void add_to(CLI::App& command);
  /// What --activation lists.
  std::vector<Activation> activations() const;
  /// The network that --layers, --bias and --heads describe, with activations of its hidden layers, or one for all.
  Network architecture(const std::vector<Activation>& hidden) const;
  Model read() const { return read("--model", file); }
  /// Reads the file of another option, about which the options here say the same.
  Model read(std::string_view option, const std::string& from) const;
};

/// --device and --threads.
struct DeviceOptions {
  std::string device;  ///< empty: auto
  int threads = 0;

  void add_to(CLI::App& command);
  /// Selects the device; notes on the session why a given "auto" became the CPU. Throws DeviceError.
  Device select(Session& session) const;
};

/// Reads the SPEC of --data, --train, ...; notes on the session the classes made from a file's own labels.
Dataset read_data(std::string_view option, const std::string& spec, Session& session);
/// Reads the SPEC of --test, --transfer, ...: more data for the model of `like`, with labels numbered as there.
Dataset read_data(std::string_view option, const std::string& spec, const Dataset& like);
/// Reads --loss.
Loss read_loss(const std::string& text);
/// Adds --precision.
void add_precision(CLI::App& command, std::string& precision);

/// Throws InvalidArgument naming `option` if less than `bytes` of memory are free.
void check_memory(std::string_view option, double bytes);

}  // namespace lossatlas::cli
