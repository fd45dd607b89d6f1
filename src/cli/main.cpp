// lossatlas: the program. Parses, runs one subcommand, and turns exceptions into one line and an exit status.
#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <memory>
#include <new>
#include <sstream>
#include <stdexcept>
#include <string>

#include <lossatlas/error.hpp>
#include <lossatlas/version.hpp>

#include "commands.hpp"
#include "help.hpp"
#include "output.hpp"
#include "process.hpp"

namespace {

using namespace lossatlas;

enum ExitStatus { kDone = 0, kFailed = 1, kBadInput = 2 };

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
    "Exit status: 0 done, 1 failed (also for want of space on the disk), 2 wrong usage or bad input, 128 + N ended by\n"
    "signal N: 130 after Ctrl-C, 143 after SIGTERM, 129 after SIGHUP; a second one ends the program at once.\n"
    "lossatlas SUBCOMMAND --help says more.\n";

int fail(int status, const std::string& text) {
  cli::print_error("lossatlas: " + text);
  return status;
}

/// `status`, if everything printed has arrived. A reader that closes a pipe early, such as head, has seen enough.
int arrived(int status) {
  if (cli::output_arrived()) return status;
  if (errno == EPIPE && cli::pipe_ends_process()) return 128 + SIGPIPE;
  return fail(kFailed, "standard output cannot be written");
}

int run(int argc, char** argv) {
  cli::prepare_process();
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
    std::ostringstream out;
    out.exceptions(std::ios::badbit);
    const int status = app.exit(request, out, out);
    cli::print_text(out.str());
    return arrived(status);
  } catch (const CLI::ParseError& error) {
    const auto named = app.get_subcommands();
    const std::string name = named.empty() ? "" : named.front()->get_name() + " ";
    return fail(kBadInput, std::string(error.what()) + "; see lossatlas " + name + "--help");
  }
  if (!command) return fail(kBadInput, "a subcommand is required; see lossatlas --help");
  cli::Session session;
  command(session);
  session.finish();
  return arrived(kDone);
}

/// Prints the line for the exception being handled; returns its status.
int explain_failure() {
  try {
    throw;
  } catch (const Interrupted& error) {
    return fail(cli::signal_status(), error.what());
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

constexpr const char* kOutOfMemory = "lossatlas: out of memory\n";

/// CLI11 allocates in functions that must not throw (App::get_option, _find_subcommand): running out of memory there
/// ends in the same line and status as anywhere else. Nothing has been written by then.
[[noreturn]] void end_without_memory() {
  try {
    if (std::current_exception()) throw;
  } catch (const std::bad_alloc&) {
    std::fputs(kOutOfMemory, stderr);
    _exit(kFailed);
  } catch (...) {
  }
  std::abort();
}

}  // namespace

int main(int argc, char** argv) {
  std::set_terminate(end_without_memory);
  try {
    return run(argc, argv);
  } catch (...) {
    try {
      return explain_failure();
    } catch (...) {  // there was no memory even for the line
      std::fputs(kOutOfMemory, stderr);
      return kFailed;
    }
  }
}
