// lossatlas section --method chebyshev: what it writes, what it says, what it refuses.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <lossatlas/lossatlas.hpp>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "cli_program.hpp"

namespace lossatlas {
namespace {

using Json = nlohmann::json;
using ::testing::HasSubstr;

class CliChebyshev : public testing::ProgramTest {
 protected:
  void SetUp() override {
    ProgramTest::SetUp();
    for (const Activation activation : {Activation::tanh, Activation::relu}) {
      const Network network = mlp({784, 8, 10}, activation);
      write_model(path(std::string(name(activation)) + ".safetensors"), network,
                  random_parameters(network, {.seed = 5}));
    }
  }

  testing::Outcome section(const std::string& model, const std::string& options) const {
    return run("section --model " + model +
               ".safetensors --data glyphs:30 --loss ce --directions filter --grid 60x50 " + options);
  }
};

TEST_F(CliChebyshev, WritesTheLibrarysSurfaceAndReport) {
  const testing::Outcome outcome = section("tanh", "--method chebyshev --tolerance 1e-8 --out s.npy --json");
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  const Model model = read_model(path("tanh.safetensors"));
  const Landscape landscape(model.network, glyphs(30), Loss::cross_entropy, Device::cpu());
  const Section plane = make_section(model.network, model.theta, random_directions(model.network, model.theta));
  const Surface surface =
      landscape.evaluate(plane, Grid::box(-1, 1, {60, 50}), {.method = Method::chebyshev, .tolerance = 1e-8});
  EXPECT_EQ(read_npy(path("s.npy")).values, surface.losses);
  const ChebyshevReport& report = *surface.chebyshev;
  const Json json = Json::parse(outcome.out), told = json["chebyshev"];
  EXPECT_EQ(told["ran"], "chebyshev");
  EXPECT_EQ(told["met"], true);
  EXPECT_EQ(told["nodes"], Json(report.nodes));
  EXPECT_EQ(told["estimate"], report.estimate);
  EXPECT_EQ(told["held_out_error"], report.held_out_error);
  EXPECT_EQ(told["resolution"], Json(report.resolution));
  EXPECT_EQ(told["evaluations"], report.evaluations);
  EXPECT_EQ(told["saved"], report.saved);
  EXPECT_GT(report.saved, 0);
  EXPECT_THAT(json["plan"].dump(), HasSubstr("interpolation: "));
  const testing::Outcome text = section("tanh", "--method chebyshev --out t.npy");
  for (const char* part : {"method    chebyshev", "nodes, estimate", "held-out error", "gaps of at most", "evaluations, "}) {
    EXPECT_THAT(text.out, HasSubstr(part));
  }
}

TEST_F(CliChebyshev, SaysWhenItEvaluatedEveryPoint) {
  const testing::Outcome given_up = section("relu", "--method chebyshev --out s.npy");
  ASSERT_EQ(given_up.status, 0) << given_up.err;
  EXPECT_THAT(given_up.out, HasSubstr("method    pointwise, relu has a kink"));
  EXPECT_THAT(given_up.out, HasSubstr("3000 evaluations, 0 saved"));
  ASSERT_EQ(section("relu", "--out direct.npy").status, 0);
  EXPECT_EQ(read_npy(path("s.npy")).values, read_npy(path("direct.npy")).values);
  EXPECT_THAT(section("tanh", "--method chebyshev --explain").out, HasSubstr("at K = 9: 135 evaluations"));
}

TEST_F(CliChebyshev, RefusesWhatMakesNoSense) {
  for (const char* options :
       {"--tolerance 1e-8", "--method chebyshev --tolerance 0", "--method chebyshev --tolerance 1",
        "--method chebyshev --tolerance nan", "--method chebyshev --tolerance -1e-3"}) {
    const testing::Outcome outcome = section("tanh", std::string(options) + " --out s.npy");
    EXPECT_EQ(outcome.status, 2) << options;
    EXPECT_THAT(outcome.err, HasSubstr("--tolerance")) << options;
  }
  EXPECT_EQ(section("tanh", "--method magic --out s.npy").status, 2);
}

}  // namespace
}  // namespace lossatlas
