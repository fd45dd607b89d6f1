#include "common.hpp"

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <optional>
#include <sstream>

namespace lossatlas::cli {

const char* const kSpecHelp =
    "Data (SPEC):\n"
    "  idx:IMAGES,LABELS       IDX files, plain or gzip (MNIST and its like); bytes scaled to [0, 1]\n"
    "  csv:FILE[,OPTION...]    a table of numbers and one column of targets. Options:\n"
    "      target=COL          the target's column by name or by number from 0; default: the last\n"
    "      header=yes|no       whether line 1 names the columns; default: if it has text where no other line has\n"
    "      standardise         scales each input to mean 0 and variance 1\n"
    "      real                whole numbers are real targets, not labels\n"
    "      classes=A,B,...     the classes in the order of the outputs, last of the options; quotes: \"a, b\". "
    "Default:\n"
    "                          this file's own texts, sorted, so that a file without one numbers them otherwise;\n"
    "                          --test and --transfer take the classes of --train\n"
    "      Texts in the target column are labels, and so are whole numbers 0..K-1 that all occur; labels start at 0.\n"
    "  npy:X.npy,Y.npy[,real]  inputs (N, ...) and labels (integers (N) or (N, 1)) or real targets (floats, or "
    "integers\n"
    "                          with ,real)\n"
    "  glyphs:N[,seed=S]       N drawn digits 28x28, ten classes, built in\n"
    "  tanh3                   50 samples of a sum of three tanh, one input, one real target, built in\n"
    "  Any of them may end in @first:last, which takes samples first..last-1.\n";

namespace {

// Bytes that the system can give without swapping; nullopt if it does not say.
std::optional<double> available_memory() {
  std::ifstream file("/proc/meminfo");
  std::string word;
  while (file >> word) {
    double kilobytes = 0;
    if (word == "MemAvailable:" && file >> kilobytes) return 1024 * kilobytes;
  }
  return std::nullopt;
}

constexpr std::size_t kLongestName = 60;  // of a class name that is shown whole

// A class name as a SPEC takes it: if it contains what ends a name, quoted, with quotes inside doubled.
std::string class_name(const std::string& name) {
  if (name.size() > kLongestName) return name.substr(0, kLongestName) + "...";
  if (name.find_first_of(",@\"= ") == std::string::npos && name != "standardise") return name;
  std::string text = "\"";
  for (const char c : name) text += c == '"' ? std::string(2, c) : std::string(1, c);
  return text + '"';
}

// classes=a,b,...: if there are many, as many as a line can show.
std::string class_list(const std::vector<std::string>& names) {
  constexpr std::size_t kLongest = 200;
  std::string text;
  for (const std::string& name : names) {
    if (text.size() > kLongest) return "classes=" + text + ",... (" + std::to_string(names.size()) + " in all)";
    text += (text.empty() ? "" : ",") + class_name(name);
  }
  return "classes=" + text;
}

}  // namespace

void ModelOptions::add_to(CLI::App& command) {
  command.add_option(file_option, file, "Network and parameters, a safetensors file")->required()->type_name("FILE");
  auto* widths = command.add_option(layers_option, layers,
                                    "Widths d,m1,...,outputs that the model must have; its file tells them");
  widths->type_name("LIST");
  command
      .add_option(
          "--activation", activation,
          "Hidden layers' activation, which PyTorch's state dicts do not tell; one for all, or a list: identity "
          "relu leaky_relu tanh sigmoid softplus gelu sine")
      ->type_name("NAME,...");
  command.add_option("--bias", bias, "Layers that have a bias, with " + layers_option)
      ->needs(widths)
      ->check(CLI::IsMember({"all", "hidden", "none"}))
      ->type_name("WHICH");
  add_whole<std::int64_t>(command, "--heads", heads, 1, kMostWhole, "Heads that the outputs are divided into")
      ->default_str("1")
      ->type_name("H");
}

std::vector<Activation> ModelOptions::activations() const {
  std::vector<Activation> result;
  if (activation.empty()) return result;
  std::istringstream names(activation + ',');
  for (std::string one; std::getline(names, one, ',');) {
    result.push_back(for_option("--activation", [&] { return parse_activation(one); }));
  }
  return result;
}

Network ModelOptions::architecture(const std::vector<Activation>& hidden) const {
  const auto widths = parse_widths(layers_option, layers);
  const Bias kind = bias == "hidden" ? Bias::hidden : bias == "none" ? Bias::none : Bias::all;
  const MlpOptions options{kind, std::max<std::int64_t>(1, heads)};
  return for_option(layers_option, [&] {
    if (hidden.size() < 2) return mlp(widths, hidden.empty() ? Activation::identity : hidden.front(), options);
    if (hidden.size() + 2 != widths.size()) {
      throw InvalidArgument("received " + std::to_string(widths.size()) + " widths, but activations of " +
                            std::to_string(hidden.size()) + " hidden layers, expected one for all, or one for each");
    }
    std::vector<Layer> chain;
    for (std::size_t l = 0; l + 1 < widths.size(); ++l) {
      const bool last = l == hidden.size();
      chain.push_back(Dense{widths[l], widths[l + 1], kind == Bias::all || (kind == Bias::hidden && !last),
                            last ? Activation::identity : hidden[l]});
    }
    return Network(std::move(chain), options.heads);
  });
}

Model ModelOptions::read(std::string_view option, const std::string& from) const {
  const StateDictOptions options{activations(), heads == 0 ? std::nullopt : std::optional(heads)};
  Model model = for_option(option, [&] { return read_state_dict(from, options); });
  if (layers.empty()) return model;
  const Network& network = model.network;
  std::vector<std::int64_t> widths{network.inputs()};
  bool same_bias = true;
  for (const ParameterBlock& block : network.blocks()) {
    if (block.kind == ParameterBlock::Kind::weight) widths.push_back(block.out);
  }
  if (!bias.empty()) {
    for (std::int64_t l = 0; l < network.depth(); ++l) {
      const bool expected = bias == "all" || (bias == "hidden" && l + 1 < network.depth());
      same_bias = same_bias && network.view(std::span<const double>(model.theta), l).bias.empty() != expected;
    }
  }
  if (!network.is_chain() || widths != parse_widths(layers_option, layers)) {
    throw InvalidArgument(layers_option + ": received \"" + layers + "\", expected the layers of " + from + ", " +
                          network.describe());
  }
  if (!same_bias) {
    throw InvalidArgument("--bias: received " + bias + ", but " + from + " has biases in other layers; drop it");
  }
  return model;
}

void DeviceOptions::add_to(CLI::App& command) {
  command.add_option("--device", device, "Where to compute; auto is a GPU if there is one")
      ->check(CLI::IsMember({"auto", "cpu", "cuda"}))
      ->type_name("WHERE")
      ->default_str("auto");
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
  if (device == "auto") session.note("device: " + host.describe() + " (" + best.reason() + ")");
  return host;
}

Dataset read_data(std::string_view option, const std::string& spec, Session& session) {
  Dataset data = for_option(option, [&] { return read_dataset(spec); });
  if (!data.class_names().empty() && spec.find(",classes=") == std::string::npos) {
    const bool whole = std::ranges::all_of(data.class_names(), [](const std::string& name) {
      return name.size() <= kLongestName && one_line(name) == name;
    });
    session.note("note: " + std::string(option) + ": the labels of " + data.name() + " are " +
                 class_list(data.class_names()) +
                 " in this order; a file that another command reads needs the same list" +
                 (whole ? "" : ", in which these long or unprintable names cannot be given: rename them"));
  }
  return data;
}

Dataset read_data(std::string_view option, const std::string& spec, const Dataset& like) {
  return for_option(option, [&] { return read_dataset(spec, like); });
}

Loss read_loss(const std::string& text) {
  return for_option("--loss", [&] { return parse_loss(text); });
}

void add_precision(CLI::App& command, std::string& precision) {
  command
      .add_option("--precision", precision,
                  "Arithmetic of the surface; f32 is accurate to about 1e-7, fast to 1e-4, in narrow layers 2e-3")
      ->check(CLI::IsMember({"f64", "f32", "fast"}))
      ->type_name("P")
      ->capture_default_str();
}

void check_memory(std::string_view option, double bytes) {
  const auto memory = available_memory();
  if (!memory || bytes <= *memory) return;
  char text[200];
  std::snprintf(text, sizeof text,
                ": received a size that needs %.0f bytes of memory, expected at most the %.0f available", bytes,
                *memory);
  throw InvalidArgument(std::string(option) + text);
}

}  // namespace lossatlas::cli
