// Numbers in options: decimal, within the range that the message says, blamed on their option.
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <lossatlas/lossatlas.hpp>

#include "cli_program.hpp"

namespace lossatlas {
namespace {

using testing::Outcome;
using testing::read_text;
using testing::write_text;

const std::string kProblem = " --data csv:data.csv --loss mse --device cpu ";
const std::string kSection = "section --model model.safetensors" + kProblem + "--directions filter --out s.npy ";
const std::string kFind = "find --layers 1,1,1 --out points" + kProblem;
const std::string kFit =
    "fit --target picture.npy --train csv:data.csv --loss mse --hidden 2,4 --device cpu --out out ";
const std::string kNeuron = " --model model.safetensors --layer 1 --neuron 0 ";

class CliNumbers : public testing::ProgramTest {
 protected:
  void SetUp() override {
    ProgramTest::SetUp();
    write_text(path("data.csv"), "0.5,1\n-1,0.25\n2,-0.5\n");
    const Network network = mlp({1, 2, 1}, Activation::tanh);
    write_model(path("model.safetensors"), network, random_parameters(network, {.seed = 5}));
    const std::int64_t shape[] = {3, 2};
    write_npy(path("picture.npy"), shape, std::vector<double>{0.1, 0.9, 0.4, 0.3, 0.7, 0.2});
  }
};

struct Option {
  std::string command;
  std::string name;
  std::vector<std::string> refused;

  friend std::ostream& operator<<(std::ostream& stream, const Option& option) { return stream << option.name; }
};

class RefusedNumber : public CliNumbers, public ::testing::WithParamInterface<Option> {};

TEST_P(RefusedNumber, NamesItsOption) {
  const auto before = files();
  const auto& [command, name, refused] = GetParam();
  for (const std::string& value : refused) {
    const Outcome outcome = run(command + name + "=" + value);
    EXPECT_EQ(outcome.status, 2) << value << ": " << outcome.err;
    EXPECT_EQ(outcome.out, "") << value;
    EXPECT_EQ(outcome.err.find("lossatlas: " + name + ": received \"" + value + "\", expected "), 0u)
        << value << ": " << outcome.err;
    EXPECT_EQ(outcome.err.find('\n'), outcome.err.size() - 1) << outcome.err;
  }
  EXPECT_EQ(files(), before);
}

const std::vector<std::string> kNoWholeNumbers = {"0x10", "1e3", "2.0", "nan", "inf", "-1", "99999999999999999999",
                                                  "2k"};
const std::vector<std::string> kNoNumbers = {"0x1p3", "nan", "inf", "-inf", "1e309", "1e308x", "1,5"};

std::vector<std::string> with(std::vector<std::string> values, const std::vector<std::string>& more) {
  values.insert(values.end(), more.begin(), more.end());
  return values;
}

INSTANTIATE_TEST_SUITE_P(
    Of, RefusedNumber,
    ::testing::Values(
        Option{kSection, "--count", with(kNoWholeNumbers, {"0"})},
        Option{kSection, "--tile", with(kNoWholeNumbers, {"0"})},
        Option{kSection, "--threads", with(kNoWholeNumbers, {"4097"})}, Option{kSection, "--seed", kNoWholeNumbers},
        Option{kSection + "--method chebyshev ", "--tolerance", with(kNoNumbers, {"0", "1", "-1"})},
        Option{kSection,
               "--range",
               {"1e308:-1e308", "-1e308:1e308", "nan:1", "0:inf", "0x10:1", "0:0x1", "1e309:0", "1", "1:2:3", ":"}},
        Option{kSection, "--grid", {"0", "-1", "0x10", "1e3", "3.0", "99999999999999999999", "3x", "x"}},
        Option{kSection,
               "--shard",
               {"0/2", "3/2", "1.0/2", "1e0/2", "0x1/2", "1/99999999999999999999", "1", "1/2/3", "/"}},
        Option{"evaluate --model model.safetensors --layers 1,2,1" + kProblem, "--heads", with(kNoWholeNumbers, {"0"})},
        Option{kFind, "--starts", with(kNoWholeNumbers, {"0"})},
        Option{kFind, "--tolerance", with(kNoNumbers, {"0", "-1"})},
        Option{kFind, "--init-power", with(kNoNumbers, {"1e9"})},
        Option{kFind, "--init-scale", {"nan", "inf", "0x1", "1e309", "-1", "1e308"}},
        Option{kFit, "--margin", with(kNoNumbers, {"0", "-1", "1e308"})},
        Option{kFit, "--feature-width", with(kNoNumbers, {"0", "-1", "1e308"})},
        Option{kFit, "--placed-share", with(kNoNumbers, {"-0.1", "1.1"})},
        Option{kFit, "--ridge", with(kNoNumbers, {"-1", "1e308"})}, Option{kFit, "--iterations", kNoWholeNumbers},
        Option{"split --model model.safetensors --neuron 0 --out w.safetensors ", "--layer",
               with(kNoWholeNumbers, {"0"})},
        Option{"split --model model.safetensors --layer 1 --out w.safetensors ", "--neuron", kNoWholeNumbers},
        Option{"split --out w.safetensors" + kNeuron, "--alpha", kNoNumbers},
        Option{"split --out w.safetensors" + kNeuron, "--weights", {"nan,1", "0x1,0", "1e309,1", "1,"}},
        Option{"forecast" + kProblem + kNeuron,
               "--alpha",
               {"nan:1:0.1", "0:inf:1", "0:1:0x1", "-1e308:1e308:1e300", "0:1:0", "1:0:1", "0:1"}},
        Option{"forecast" + kProblem + kNeuron, "--zero", with(kNoNumbers, {"-1"})},
        Option{"spectrum --model model.safetensors" + kProblem, "--zero", with(kNoNumbers, {"-1"})}));

// Zeros in front change nothing, least of all the base; what is too small for a double is 0.
TEST_F(CliNumbers, AreDecimal) {
  const auto losses = [&](const std::string& options) {
    const Outcome outcome = run(kSection + options);
    EXPECT_EQ(outcome.status, 0) << options << ": " << outcome.err;
    return read_npy(path("s.npy")).values;
  };
  EXPECT_EQ(losses("--count 02 --grid 010 --seed 011 --tile 08 --threads 01"), losses("--count 2 --grid 10 --seed 11"));
  EXPECT_EQ(losses("--range 1e-400:1 --grid 3"), losses("--range 0:1 --grid 3"));
  EXPECT_EQ(losses("--range -1e-310:1 --grid 3").size(), 9u);
}

TEST_F(CliNumbers, HelpSaysTheDefaults) {
  const std::string help = run("section --help").out;
  for (const char* part : {"--count Z=2", "--tolerance ERROR=1e-06", "--seed S=0", "--threads T=0"}) {
    EXPECT_NE(help.find(part), std::string::npos) << part;
  }
}

}  // namespace
}  // namespace lossatlas
