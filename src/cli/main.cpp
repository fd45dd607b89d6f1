// lossatlas: the program. Parses, runs one subcommand, and turns exceptions into one line and an exit status.
#include <algorithm>
#include <cstdio>
#include <exception>
#include <iostream>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>

#include <lossatlas/error.hpp>
#include <lossatlas/version.hpp>

#include "commands.hpp"
#include "help.hpp"

namespace {

using namespace lossatlas;

enum ExitStatus { kDone = 0, kFailed = 1, kBadInput = 2, kInterrupted = 130 };

constexpr const char* kDescription =
    "Loss landscapes of neural networks: puts pictures into loss surfaces, evaluates the loss on whole sections of\n"
    "parameter space at once, and finds critical points, embeds them in wider networks and takes their spectra.";
constexpr const char* kFooter =
    "Examples:\n"
    "  lossatlas fit --target demo --train glyphs:1000 --hidden 64,512 --out out\n"
    "  lossatlas section --model out/model.safetensors --data glyphs:200 --loss ce --directions filter --grid 15x15 "
    "--out plane.npy --png plane.png\n"
    "  lossatlas find --layers 1,2,1 --bias hidden --data tanh3 --loss mse --out points\n"
    "  lossatlas reproduce\n"
    "\nResults go to stdout (with --json as JSON, where NaN and infinity are null), progress and errors to stderr.\n"
    "Exit status: 0 done, 1 failed (also for want of space on the disk), 2 wrong usage or bad input, 130 interrupted.\n"
    "lossatlas SUBCOMMAND --help says more.\n";

int fail(int status, std::string text) {
  std::replace(text.begin(), text.end(), '\n', ' ');
  std::fprintf(stderr, "lossatlas: %s\n", text.c_str());
  return status;
}

/// `status`, once everything printed has arrived.
int flushed(int status) {
  return std::cout.flush() && std::fflush(stdout) == 0 ? status : fail(kFailed, "standard output cannot be written");
}

int run(const cli::Command& command) {
  try {
    cli::Session session;
    command(session);
    session.finish();
    return flushed(kDone);
  } catch (const Interrupted& error) {
    return fail(kInterrupted, error.what());
  } catch (const InvalidArgument& error) {
    return fail(kBadInput, error.what());
  } catch (const WriteError& error) {
    return fail(kFailed, error.what());
  } catch (const FileError& error) {
    return fail(kBadInput, error.what());
  } catch (const std::bad_alloc&) {
    return fail(kFailed, "out of memory");
  } catch (const std::length_error&) {  // a container asked for more than any memory has
    return fail(kFailed, "out of memory");
  } catch (const std::exception& error) {
    return fail(kFailed, error.what());
  }
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app(kDescription, "lossatlas");
  app.set_version_flag("--version", std::string("lossatlas ") + version(), "Print the version and exit");
  app.footer(kFooter);
  app.formatter(std::make_shared<cli::HelpFormatter>());
  cli::Command command;
  cli::add_commands(app, command);
  if (argc < 2) {
    std::fputs(app.help().c_str(), stderr);
    return kBadInput;
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& request) {
    return flushed(app.exit(request));
  } catch (const CLI::ParseError& error) {
    const auto named = app.get_subcommands();
    const std::string command = named.empty() ? "" : named.front()->get_name() + " ";
    return fail(kBadInput, std::string(error.what()) + "; see lossatlas " + command + "--help");
  }
  if (!command) return fail(kBadInput, "a subcommand is required; see lossatlas --help");
  return run(command);
}
