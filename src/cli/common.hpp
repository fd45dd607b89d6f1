// What the subcommands share: options for model, data and device, and checks of outputs.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

#include <CLI/CLI.hpp>
#include <lossatlas/lossatlas.hpp>

#include "numbers.hpp"
#include "session.hpp"

namespace lossatlas::cli {

/// How data sets are written on the command line, for help texts.
extern const char* const kSpecHelp;

/// call(), with errors of the library about `option`'s value prefixed by the option's name.
template <class Call>
auto for_option(std::string_view option, Call&& call) {
  try {
    return call();
  } catch (const InvalidArgument& error) {
    throw InvalidArgument(std::string(option) + ": " + error.what());
  } catch (const FileError& error) {
    throw FileError(std::string(option) + ": " + error.what());
  }
}

/// --model and, for files without an architecture, --layers --activation --bias --heads.
struct ModelOptions {
  std::string file;
  std::string layers;
  std::string activation = "tanh";
  std::string bias = "all";
  std::int64_t heads = 1;

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

/// --data, --train, ...: a SPEC.
Dataset read_data(std::string_view option, const std::string& spec);
/// --loss.
Loss read_loss(const std::string& text);
/// --precision.
void add_precision(CLI::App& command, std::string& precision);

/// Throws FileError unless a file can be made at `file`: its folder exists and may be written.
void check_output_file(std::string_view option, const std::filesystem::path& file);
/// Throws FileError unless `folder` is a writable folder or can be made.
void check_output_folder(std::string_view option, const std::filesystem::path& folder);
/// Throws InvalidArgument naming `option` when the free memory is less than `bytes`.
void check_memory(std::string_view option, double bytes);
/// Throws InvalidArgument when the losses of a grid do not fit on the disk of `folder`.
void check_disk(const Grid& grid, std::int64_t heads, const std::filesystem::path& folder);
/// Throws InvalidArgument when the points and losses of a grid do not fit into the free memory or on the disk of
/// `folder`.
void check_room(const Grid& grid, std::int64_t heads, const std::filesystem::path& folder);

}  // namespace lossatlas::cli
