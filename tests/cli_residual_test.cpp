// The program on a model that is no chain of dense layers.
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <lossatlas/lossatlas.hpp>
#include <nlohmann/json.hpp>

#include "cli_program.hpp"

namespace lossatlas {
namespace {

using testing::Outcome;
using Json = nlohmann::json;

class ResidualModel : public testing::ProgramTest {
 protected:
  void SetUp() override {
    testing::ProgramTest::SetUp();
    write_model(path("model.safetensors"), network_, theta_);
  }

  Outcome run_well(const std::string& line) const {
    const Outcome outcome = run(line);
    EXPECT_EQ(outcome.status, 0) << line << '\n' << outcome.err;
    return outcome;
  }

  const Network network_{{{Dense{1, 3, true, Activation::tanh}, {-1}},
                          {Dense{3, 3, true, Activation::identity}, {0}},
                          {Add{Activation::tanh}, {0, 1}},
                          {Dense{3, 1, false, Activation::identity}, {2}}}};
  const std::vector<double> theta_ = random_parameters(network_, {.seed = 3});
};

TEST_F(ResidualModel, SectionsAreThoseOfTheLibrary) {
  const Outcome outcome = run_well(
      "section --model model.safetensors --data tanh3 --loss mse --directions random --seed 2 --grid 5x4 "
      "--out a.npy --png a.png --device cpu --json");
  const Json json = Json::parse(outcome.out);
  EXPECT_EQ(json["network"]["description"], network_.describe());
  EXPECT_EQ(json["network"]["inputs"], Json::parse("[[-1],[0],[0,1],[2]]"));
  const std::vector<double> directions =
      random_directions(network_, theta_, {.count = 2, .seed = 2, .normalisation = Normalisation::none});
  const Section plane = make_section(network_, theta_, directions);
  const Landscape landscape(network_, tanh3(), Loss::mean_squared_error, Device::cpu());
  const std::vector<double> expected = landscape.evaluate(plane, Grid::box(-1, 1, {5, 4})).losses;
  EXPECT_EQ(read_npy(path("a.npy")).values, expected);
  const Outcome plan = run_well(
      "section --model model.safetensors --data tanh3 --loss mse --directions random --grid "
      "5x4 --explain --device cpu");
  EXPECT_NE(plan.out.find("sum of 2×3 tanh"), std::string::npos) << plan.out;
}

TEST_F(ResidualModel, SpectrumAndEvaluation) {
  const Json json =
      Json::parse(run_well("spectrum --model model.safetensors --data tanh3 --loss mse --json --device cpu").out);
  EXPECT_EQ(json["eigenvalues"].size(), static_cast<std::size_t>(network_.parameter_count()));
  run_well("evaluate --model model.safetensors --data tanh3 --loss mse --device cpu");
}

TEST_F(ResidualModel, NeuronsAreNotSplit) {
  for (const char* command :
       {"split --layer 1 --neuron 0 --out b.safetensors", "embed --layers 1,4,3,3,1 --out b.safetensors",
        "forecast --layer 1 --neuron 0 --data tanh3 --loss mse"}) {
    const Outcome outcome = run(std::string(command) + " --model model.safetensors");
    EXPECT_EQ(outcome.status, 2) << command;
    EXPECT_NE(outcome.err.find("--model: received a network of 1 input, 3 dense nodes, 1 Add node"), std::string::npos)
        << outcome.err;
    EXPECT_NE(outcome.err.find("cannot pass an Add"), std::string::npos) << outcome.err;
  }
  EXPECT_FALSE(testing::fs::exists(path("b.safetensors")));
}

}  // namespace
}  // namespace lossatlas
