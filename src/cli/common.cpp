#include "common.hpp"

#include <stdlib.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <optional>

namespace lossatlas::cli {

namespace fs = std::filesystem;

const char* const kSpecHelp =
    "Data (SPEC):\n"
    "  idx:IMAGES,LABELS       IDX files, plain or gzip (MNIST and its like); bytes scaled to [0, 1]\n"
    "  csv:FILE[,target=COL]   a table; the last column, or COL, is the target; ,standardise scales the inputs\n"
    "  npy:X.npy,Y.npy         inputs (N, ...) and labels or real targets\n"
    "  glyphs:N[,seed=S]       N drawn digits 28x28, ten classes, built in\n"
    "  tanh3                   50 samples of a sum of three tanh, one input, one real target, built in\n"
    "  Any of them may end in @first:last, which takes samples first..last-1.\n";

namespace {

// Bytes that the system can give without swapping; absent where it does not say.
std::optional<double> available_memory() {
  std::ifstream file("/proc/meminfo");
  std::string word;
  while (file >> word) {
    double kilobytes = 0;
    if (word == "MemAvailable:" && file >> kilobytes) return 1024 * kilobytes;
  }
  return std::nullopt;
}

void check_bytes(std::string_view option, double needed, double available, const char* where) {
  if (needed <= available) return;
  char text[200];
  std::snprintf(text, sizeof text, ": received a size that needs %.0f bytes %s, expected at most the %.0f available",
                needed, where, available);
  throw InvalidArgument(std::string(option) + text);
}

// Whether an entry can be made in `folder`; permissions alone do not tell (read-only disks, root).
bool writable(const fs::path& folder) {
  std::string probe = (folder / ".lossatlas-XXXXXX").string();
  return mkdtemp(probe.data()) != nullptr && rmdir(probe.c_str()) == 0;
}

// The folder itself or the nearest one above it that exists.
fs::path existing_ancestor(fs::path folder) {
  std::error_code ignored;
  folder = fs::absolute(folder.empty() ? "." : folder, ignored);
  while (!fs::exists(folder, ignored) && folder.has_relative_path()) folder = folder.parent_path();
  return folder;
}

}  // namespace

void ModelOptions::add_to(CLI::App& command) {
  command.add_option("--model", file, "Network and parameters, a safetensors file")->required()->type_name("FILE");
  auto* widths = command.add_option("--layers", layers,
                                    "Widths d,m1,...,outputs of the dense layers, for files of PyTorch's nn.Sequential "
                                    "(0.weight, 0.bias, 2.weight, ...); files written by lossatlas know theirs");
  widths->type_name("LIST");
  command
      .add_option("--activation", activation,
                  "Hidden layers' activation: identity relu leaky_relu tanh sigmoid softplus gelu sine")
      ->needs(widths)
      ->type_name("NAME")
      ->capture_default_str();
  command.add_option("--bias", bias, "Layers that have a bias")
      ->needs(widths)
      ->check(CLI::IsMember({"all", "hidden", "none"}))
      ->type_name("WHICH")
      ->capture_default_str();
  add_whole<std::int64_t>(command, "--heads", heads, 1, kMostWhole, "Heads that the outputs are divided into")
      ->needs(widths)
      ->type_name("H");
}

Network ModelOptions::architecture() const {
  const auto widths = parse_widths("--layers", layers);
  const Activation hidden = for_option("--activation", [&] { return parse_activation(activation); });
  const Bias kind = bias == "all" ? Bias::all : bias == "hidden" ? Bias::hidden : Bias::none;
  return for_option("--layers", [&] { return mlp(widths, hidden, {.bias = kind, .heads = heads}); });
}

Model ModelOptions::read() const {
  std::optional<Network> expected;
  if (!layers.empty()) expected = architecture();
  return for_option("--model", [&] { return read_model(file, expected); });
}

void DeviceOptions::add_to(CLI::App& command) {
  command.add_option("--device", device, "Where to compute; auto is a GPU if there is one")
      ->check(CLI::IsMember({"auto", "cpu", "cuda"}))
      ->type_name("WHERE")
      ->capture_default_str();
  add_whole(command, "--threads", threads, 0, 4096, "CPU threads, 0 for all; results do not depend on it")
      ->type_name("T");
}

Device DeviceOptions::select(Session& session) const {
  if (device == "cuda") {
    if (threads != 0)
      throw InvalidArgument("--threads: received a number with --device cuda, expected the CPU; drop one");
    return Device::cuda();
  }
  const Device host = Device::cpu({.threads = threads});
  if (device == "cpu") return host;
  const Device best = Device::best();
  if (best.kind() == Device::Kind::cuda) return best;
  session.note("device: " + host.describe() + " (" + best.reason() + ")");
  return host;
}

Dataset read_data(std::string_view option, const std::string& spec) {
  return for_option(option, [&] { return read_dataset(spec); });
}

Loss read_loss(const std::string& text) {
  return for_option("--loss", [&] { return parse_loss(text); });
}

void add_precision(CLI::App& command, std::string& precision) {
  command
      .add_option("--precision", precision, "Arithmetic of the surface; f32 is accurate to about 1e-7, fast to 1e-4, in narrow layers 2e-3")
      ->check(CLI::IsMember({"f64", "f32", "fast"}))
      ->type_name("P")
      ->capture_default_str();
}

void check_output_file(std::string_view option, const fs::path& file) {
  const fs::path folder = file.has_parent_path() ? file.parent_path() : fs::path(".");
  std::error_code ignored;
  const std::string received = std::string(option) + ": received " + file.string();
  if (file.empty() || fs::is_directory(file, ignored)) throw FileError(received + ", expected the name of a file");
  if (!fs::is_directory(folder, ignored)) {
    throw FileError(received + ", expected a file in an existing folder; create " + folder.string());
  }
  if (!writable(folder)) throw FileError(received + ", expected a folder that may be written");
}

void check_output_folder(std::string_view option, const fs::path& folder) {
  const std::string received = std::string(option) + ": received " + folder.string();
  const fs::path existing = existing_ancestor(folder);
  std::error_code ignored;
  if (folder.empty() || !fs::is_directory(existing, ignored)) {
    throw FileError(received + ", expected a folder; " + existing.string() + " is none");
  }
  if (!writable(existing)) {
    throw FileError(received + ", expected a folder that may be written; " + existing.string() + " may not");
  }
}

void check_memory(std::string_view option, double bytes) {
  if (const auto memory = available_memory()) check_bytes(option, bytes, *memory, "of memory");
}

void check_room(const Grid& grid, std::int64_t heads, const fs::path& folder) {
  const double losses = 8.0 * static_cast<double>(grid.size()) * static_cast<double>(heads);
  const double points = 8.0 * static_cast<double>(grid.size()) * static_cast<double>(grid.rank());
  check_memory("--grid", losses + 2 * points);
  check_disk(grid, heads, folder);
}

void check_disk(const Grid& grid, std::int64_t heads, const fs::path& folder) {
  const double losses = 8.0 * static_cast<double>(grid.size()) * static_cast<double>(heads);
  std::error_code failed;
  const fs::space_info disk = fs::space(existing_ancestor(folder), failed);
  if (!failed) check_bytes("--grid", losses, static_cast<double>(disk.available), "on the disk");
}

}  // namespace lossatlas::cli
