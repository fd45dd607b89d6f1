// find, split, embed, spectrum and forecast as a user meets them.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <lossatlas/lossatlas.hpp>
#include <nlohmann/json.hpp>

#include "cli_inertia.hpp"
#include "cli_program.hpp"

namespace lossatlas {
namespace {

using testing::inertia;
using testing::Outcome;
using testing::read_text;
using testing::write_text;
using Json = nlohmann::json;

const std::string kOnData = "--data tanh3 --loss mse ";

class CliEmbedding : public testing::ProgramTest {
 protected:
  /// 1-3-1 tanh without output bias, parameters from a seed.
  Model write_random_model() const {
    Model model{mlp({1, 3, 1}, Activation::tanh, {.bias = Bias::hidden}), {}};
    model.theta = random_parameters(model.network, {.seed = 7});
    write_model(path("model.safetensors"), model.network, model.theta);
    return model;
  }

  /// The critical point of width 1 on the one-dimensional data, with the values of its closed description.
  Model write_critical_model() const {
    Model model{mlp({1, 1, 1}, Activation::tanh, {.bias = Bias::hidden}), {0.08953659128478933, 0, 3.7469510271074928}};
    write_model(path("critical.safetensors"), model.network, model.theta);
    return model;
  }

  Json json_of(const std::string& command) const {
    const Outcome outcome = run(command + " --json");
    EXPECT_EQ(outcome.status, 0) << command << "\n" << outcome.err;
    return outcome.status == 0 ? Json::parse(outcome.out) : Json::object();
  }
};

bool is_one_line(const std::string& text) {
  return std::count(text.begin(), text.end(), '\n') == 1 && text.back() == '\n';
}

struct Refusal {
  std::string command;
  std::string mention;  ///< what the one line must name

  friend std::ostream& operator<<(std::ostream& stream, const Refusal& refusal) { return stream << refusal.command; }
};

class EmbeddingRefused : public CliEmbedding, public ::testing::WithParamInterface<Refusal> {};

TEST_P(EmbeddingRefused, WithOneLineAndStatusTwo) {
  write_random_model();
  const Network huge = mlp({1, 400000, 1}, Activation::tanh);
  write_model(path("huge.safetensors"), huge, std::vector<double>(static_cast<std::size_t>(huge.parameter_count())));
  const Network linear = mlp({1, 1}, Activation::tanh);
  write_model(path("linear.safetensors"), linear, random_parameters(linear));
  const Network deep = mlp({1, 2, 2, 1}, Activation::tanh);
  write_model(path("deep.safetensors"), deep, random_parameters(deep));
  const auto before = files();
  const Outcome outcome = run(GetParam().command);
  EXPECT_EQ(outcome.status, 2) << outcome.err;
  EXPECT_EQ(outcome.out, "");
  EXPECT_TRUE(is_one_line(outcome.err)) << outcome.err;
  EXPECT_EQ(outcome.err.rfind("lossatlas: ", 0), 0u) << outcome.err;
  EXPECT_NE(outcome.err.find(GetParam().mention), std::string::npos) << outcome.err;
  EXPECT_EQ(files(), before) << "a refused command must not write";
}

const std::string kFind = "find --layers 1,1,1 --bias hidden --out points ";
const std::string kSplit = "split --model model.safetensors --out wide.safetensors ";
const std::string kEmbed = "embed --model model.safetensors --out wide.safetensors ";
const std::string kSpectrum = "spectrum --model model.safetensors ";
const std::string kForecast = "forecast --model model.safetensors " + kOnData;

const std::vector<Refusal> kRefusals = {
    {kFind, "--data"},
    {kFind + "--data tanh3", "--loss"},
    {kFind + "--data tanh3 --loss hinge", "--loss"},
    {kFind + "--data glyphs:20 --loss mse", "--data"},
    {kFind + kOnData + "--starts 0", "--starts"},
    {kFind + kOnData + "--starts x", "--starts"},
    {kFind + kOnData + "--seed -1", "--seed"},
    {kFind + kOnData + "--tolerance 0", "--tolerance"},
    {kFind + kOnData + "--init-scale -1", "--init-scale"},
    {kFind + kOnData + "--init-scale 1,2,3", "--init-scale: received 3 numbers"},
    {kFind + kOnData + "--init-scale 1,x", "--init-scale"},
    {kFind + kOnData + "--init-power nan", "--init-power"},
    {kFind + kOnData + "--init-power 6 --init-scale 1", "--init-power"},
    {kFind + kOnData + "--activation step", "leaky_relu"},
    {"find --layers 1,1,1 " + kOnData, "--out"},
    {"find --layers 1,x,1 --out points " + kOnData, "--layers"},
    {"find --layers 1 --out points " + kOnData, "--layers"},
    {"find --layers 1,1,1 --out model.safetensors " + kOnData, "--out"},
    {"find --layers 1,400000,1 --out points " + kOnData, "bytes"},
    {"find --layers 1,3000,1 --bias hidden --threads 1000 --starts 1000 --out points " + kOnData, "bytes"},
    {kSplit + "--neuron 0", "--layer"},
    {kSplit + "--layer 1", "--neuron"},
    {kSplit + "--layer 0 --neuron 0", "--layer: received \"0\", expected a whole number from 1"},
    {kSplit + "--layer 2 --neuron 0", "--layer: received 2"},
    {kSplit + "--layer 1 --neuron 3", "--neuron: received 3, expected 0 to 2"},
    {kSplit + "--layer 1 --neuron -1", "--neuron"},
    {kSplit + "--layer 1 --neuron 0 --alpha nan", "--alpha"},
    {kSplit + "--layer 1 --neuron 0 --alpha 0.5 --weights 0.5,0.5", "--weights"},
    {kSplit + "--layer 1 --neuron 0 --weights 0.3,0.3,0.3", "sum"},
    {kSplit + "--layer 1 --neuron 0 --weights 0.3,,0.7", "--weights"},
    {kSplit + "--layer 1 --neuron 0 --weights inf,-inf", "--weights"},
    {kSplit + "--layer 1 --neuron 0 --data tanh3", "--loss"},
    {kSplit + "--layer 1 --neuron 0 --data glyphs:20 --loss mse", "--data"},
    {"split --model model.safetensors --layer 1 --neuron 0 --out absent/wide.safetensors", "--out"},
    {"split --model missing.safetensors --layer 1 --neuron 0 --out wide.safetensors", "missing.safetensors"},
    {"split --model linear.safetensors --layer 1 --neuron 0 --out wide.safetensors", "--model"},
    {kEmbed, "--layers"},
    {kEmbed + "--layers 1,2,1", "none smaller"},
    {kEmbed + "--layers 2,4,1", "--layers"},
    {kEmbed + "--layers 1,4,2", "--layers"},
    {kEmbed + "--layers 1,4,4,1", "--layers"},
    {kEmbed + "--layers 1,4,1 --rule magic", "expected equal, null or weights="},
    {kEmbed + "--layers 1,4,1 --rule weights=0.5,1,1", "each neuron of the hidden widths 4"},
    {kEmbed + "--layers 1,4,1 --rule weights=0.5,1,1,0.5/1", "each neuron of the hidden widths 4"},
    {kEmbed + "--layers 1,4,1 --rule weights=0.5,1,1,0.5/", "--rule"},
    {kEmbed + "--layers 1,4,1 --rule weights=", "--rule"},
    {kEmbed + "--layers 1,4,1 --rule weights=0.5,1,1,x", "--rule"},
    {kEmbed + "--layers 1,4,1 --rule weights=0.5,1,1,0.4", "for the copies of neuron 0 of layer 1, expected 1"},
    {"embed --model deep.safetensors --layers 1,2147483647,2147483647,1 --out wide.safetensors", "bytes"},
    {kSpectrum + "--data tanh3", "--loss"},
    {kSpectrum + "--data glyphs:20 --loss mse", "--data"},
    {kSpectrum + kOnData + "--zero -1", "--zero"},
    {kSpectrum + kOnData + "--zero nan", "--zero"},
    {kSpectrum + kOnData + "--part half", "--part"},
    {kSpectrum + kOnData + "--png absent/s.png", "--png"},
    {kSpectrum + kOnData + "--vectors absent/v.npy", "--vectors"},
    {"spectrum --model huge.safetensors " + kOnData, "bytes"},
    {kForecast + "--neuron 0", "--layer"},
    {kForecast + "--layer 5 --neuron 0", "--layer: received 5"},
    {kForecast + "--layer 1 --neuron 9", "--neuron: received 9"},
    {kForecast + "--layer 1 --neuron 0 --alpha 1:0:0.1", "--alpha"},
    {kForecast + "--layer 1 --neuron 0 --alpha 0:1", "--alpha"},
    {kForecast + "--layer 1 --neuron 0 --alpha 0:1:0", "--alpha"},
    {kForecast + "--layer 1 --neuron 0 --alpha 0:1:1e-9", "--alpha"},
    {kForecast + "--layer 1 --neuron 0 --weights 0.5,0.6", "--weights"},
    {kForecast + "--layer 1 --neuron 0 --png absent/f.png", "--png"},
    {"forecast --model huge.safetensors --layer 1 --neuron 0 " + kOnData, "bytes"},
    {"reproduce zhang2021-fig3a --data glyphs:20@0:x --out figure", "--data"},
    {"reproduce zhang2021-fig3b --data csv:missing.csv --out figure", "missing.csv"},
};

INSTANTIATE_TEST_SUITE_P(BadInput, EmbeddingRefused, ::testing::ValuesIn(kRefusals));

TEST_F(CliEmbedding, FindsTheCriticalPointOfWidthOne) {
  const Json report = json_of("find --layers 1,1,1 --bias hidden " + kOnData + "--starts 4 --out points");
  EXPECT_EQ(report, Json::parse(read_text(path("points/critical_points.json"))));
  ASSERT_EQ(report.at("critical_points").size(), 1u) << report;
  const Json& point = report["critical_points"][0];
  EXPECT_NEAR(point.at("loss"), 0.1090227420901827, 1e-12);
  EXPECT_LE(point.at("gradient_l1"), 1e-12);
  EXPECT_EQ(inertia(point.at("inertia")), (Inertia{3, 0, 0}));
  EXPECT_EQ(point.at("finite"), true);
  EXPECT_EQ(point.at("constant"), false);
  EXPECT_EQ(point.at("device").get<std::string>().rfind("cpu, OpenBLAS", 0), 0u) << point.at("device");
  EXPECT_EQ(report.at("initial_deviation"), "m^(-3/2)");
  EXPECT_EQ(report.at("found"), point.at("count")) << "one class only";

  const Model model = read_model(path("points") / point.at("model").get<std::string>());
  const auto view = model.network.view(std::span<const double>(model.theta), 0);
  EXPECT_NEAR(std::abs(view.weight(0, 0)), 0.08953659128478933, 1e-10);
}

TEST_F(CliEmbedding, FindCountsEachStartOnce) {
  const std::string find = "find --layers 1,2,1 --bias hidden " + kOnData + "--starts 6 --out points";
  const Json report = json_of(find);
  const int found = report.at("found"), infinity = report.at("at_infinity"), zero = report.at("constant_zero"),
            rest = report.at("not_converged");
  EXPECT_EQ(found + infinity + zero + rest, 6);
  int counts = 0;
  for (const Json& point : report.at("critical_points")) {
    EXPECT_LE(point.at("count").get<int>(), found);
    counts += point.at("count").get<int>();
  }
  EXPECT_GT(counts, found) << "some lead to several points";
  std::ostringstream line;
  line << "starts    6: " << found << " found points, " << infinity << " at infinity, " << zero
       << " at the constant zero, " << rest << " not converged\n";
  EXPECT_NE(run(find).out.find(line.str()), std::string::npos);
}

TEST_F(CliEmbedding, FindReplacesTheModelsOfAnEarlierSearch) {
  const std::string find = "find --layers 1,1,1 --bias hidden " + kOnData + "--starts 4 --out points";
  const Json first = json_of(find);
  for (const char* name : {"critical-07.safetensors", "critical-2.safetensors", "critical-x.safetensors", "my.txt"}) {
    write_text(path("points") / name, "old");
  }
  EXPECT_EQ(json_of(find), first);
  EXPECT_TRUE(testing::fs::exists(path("points/critical-1.safetensors")));
  EXPECT_FALSE(testing::fs::exists(path("points/critical-07.safetensors")));
  EXPECT_FALSE(testing::fs::exists(path("points/critical-2.safetensors")));
  EXPECT_TRUE(testing::fs::exists(path("points/critical-x.safetensors")));
  EXPECT_TRUE(testing::fs::exists(path("points/my.txt")));
}

TEST_F(CliEmbedding, SpectrumSaysBeforehandWhatItTakes) {
  const Network huge = mlp({1, 400000, 1}, Activation::tanh);
  write_model(path("huge.safetensors"), huge, std::vector<double>(static_cast<std::size_t>(huge.parameter_count())));
  const auto m = static_cast<double>(huge.parameter_count());
  const Json report = json_of("spectrum --model huge.safetensors --explain " + kOnData);
  EXPECT_EQ(report.at("parameters"), huge.parameter_count());
  EXPECT_EQ(report.at("assembly_flop"), static_cast<double>(tanh3().size()) * m * m);
  EXPECT_GE(report.at("bytes"), 8 * m * m);
  EXPECT_NE(run("spectrum --model huge.safetensors --explain " + kOnData).out.find("bytes on cpu"), std::string::npos);
}

TEST_F(CliEmbedding, FindDrawsItsStartsAsAskedFor) {
  const auto points = [&](const std::string& how) {
    const Json report = json_of("find --layers 1,2,1 --bias hidden " + kOnData + "--starts 2 --out points " + how);
    return std::pair(report.at("critical_points"), report.at("initial_deviation"));
  };
  const auto [six, rule] = points("--init-power 6");  // a deviation of 2^-3
  EXPECT_EQ(rule, "m^(-6/2)");
  const auto [eighth, numbers] = points("--init-scale 0.125,0.125");
  EXPECT_EQ(numbers, Json::parse("[0.125,0.125]"));
  EXPECT_EQ(six, eighth);
  EXPECT_EQ(six, points("--init-scale 0.125").first);
  EXPECT_NE(six, points("--init-scale 0.125,0.25").first);
}

TEST_F(CliEmbedding, SplitKeepsTheFunctionAndTheLoss) {
  const Model narrow = write_random_model();
  const Landscape before(narrow.network, tanh3(), Loss::mean_squared_error, Device::cpu());
  for (const std::string how : {"", "--alpha -0.5", "--alpha 1.5", "--weights 0.3,0.3,0.4"}) {
    const Json report =
        json_of("split --model model.safetensors --layer 1 --neuron 1 --out wide.safetensors " + kOnData + how);
    const Model wide = read_model(path("wide.safetensors"));
    const Landscape after(wide.network, tanh3(), Loss::mean_squared_error, Device::cpu());
    const double loss = before.evaluate(narrow.theta).loss();
    EXPECT_NEAR(after.evaluate(wide.theta).loss(), loss, 1e-14 * (1 + loss)) << how;
    EXPECT_EQ(report.at("parameters"), wide.network.parameter_count());
    const Json& certificate = report.at("certificate");
    EXPECT_LE(certificate.at("output_change"), 1e-14) << how;
    EXPECT_LE(certificate.at("loss_change"), 1e-14) << how;
    EXPECT_LE(certificate.at("gradient_residual"), 1e-13) << how;
    EXPECT_GT(certificate.at("narrow_gradient_l1"), 0) << how;
  }
}

TEST_F(CliEmbedding, SplitPutsTheSharesWhereItSays) {
  const Model narrow = write_random_model();
  const Json report = json_of("split --model model.safetensors --layer 1 --neuron 1 --alpha 0.25 --out w.safetensors");
  EXPECT_TRUE(report.at("certificate").is_null());
  EXPECT_EQ(report.at("source"), Json::parse("[[0,1,2,1]]"));
  EXPECT_EQ(report.at("share"), Json::parse("[[1.0,0.75,1.0,0.25]]"));
  const Model wide = read_model(path("w.safetensors"));
  const auto old_out = narrow.network.view(std::span<const double>(narrow.theta), 1).weight;
  const auto new_out = wide.network.view(std::span<const double>(wide.theta), 1).weight;
  EXPECT_DOUBLE_EQ(new_out(0, 1), 0.75 * old_out(0, 1));
  EXPECT_DOUBLE_EQ(new_out(0, 3), 0.25 * old_out(0, 1));
}

TEST_F(CliEmbedding, EmbedReachesTheWidthsByEitherRule) {
  const Model narrow = write_random_model();
  const Landscape before(narrow.network, tanh3(), Loss::mean_squared_error, Device::cpu());
  for (const std::string rule : {"equal", "null"}) {
    const Json report =
        json_of("embed --model model.safetensors --layers 1,7,1 --out w.safetensors --rule " + rule + " " + kOnData);
    const Model wide = read_model(path("w.safetensors"));
    EXPECT_EQ(wide.network, mlp({1, 7, 1}, Activation::tanh, {.bias = Bias::hidden})) << rule;
    EXPECT_EQ(report.at("source").at(0).size(), 7u) << rule;
    EXPECT_EQ(report["source"][0][6], rule == "null" ? -1 : 0) << rule;
    EXPECT_LE(report.at("certificate").at("output_change"), 1e-14) << rule;
    EXPECT_LE(report.at("certificate").at("gradient_residual"), 1e-13) << rule;
    const Landscape after(wide.network, tanh3(), Loss::mean_squared_error, Device::cpu());
    EXPECT_NEAR(after.evaluate(wide.theta).loss(), before.evaluate(narrow.theta).loss(), 1e-13) << rule;
  }
}

TEST_F(CliEmbedding, EmbedTakesGivenWeights) {
  const Model narrow = write_random_model();
  const std::string command = "embed --model model.safetensors --layers 1,5,1 --out w.safetensors " + kOnData;
  const Json report = json_of(command + "--rule weights=0.25,2,1,0.75,-1");
  EXPECT_EQ(report.at("source"), Json::parse("[[0,1,2,0,1]]"));
  EXPECT_EQ(report.at("share"), Json::parse("[[0.25,2.0,1.0,0.75,-1.0]]"));
  EXPECT_LE(report.at("certificate").at("output_change"), 1e-14);
  EXPECT_LE(report.at("certificate").at("gradient_residual"), 1e-13);
  const std::vector<std::vector<double>> shares = {{0.25, 2, 1, 0.75, -1}};
  EXPECT_EQ(read_model(path("w.safetensors")).theta, embed(narrow.network, narrow.theta, shares).theta);
}

TEST_F(CliEmbedding, EmbedTakesWeightsOfEachLayer) {
  const Network network = mlp({1, 2, 2, 1}, Activation::tanh);
  write_model(path("deeper.safetensors"), network, random_parameters(network, {.seed = 3}));
  const Json report = json_of(
      "embed --model deeper.safetensors --layers 1,3,2,1 --rule weights=0.5,1,0.5/1,1 --out w.safetensors " + kOnData);
  EXPECT_EQ(report.at("share"), Json::parse("[[0.5,1.0,0.5],[1.0,1.0]]"));
  EXPECT_LE(report.at("certificate").at("output_change"), 1e-14);
}

TEST_F(CliEmbedding, SpectrumOfTheCriticalPointHasItsKnownEigenvalues) {
  write_critical_model();
  const Json report = json_of("spectrum --model critical.safetensors " + kOnData + "--vectors v.npy --png s.png");
  EXPECT_EQ(report.at("parameters"), 3);
  EXPECT_NEAR(report.at("loss"), 0.1090227420901827, 1e-14);
  EXPECT_LE(report.at("gradient_l1"), 1e-12);
  EXPECT_LE(report.at("gradient_max"), report.at("gradient_l1"));
  const auto eigenvalues = report.at("eigenvalues").get<std::vector<double>>();
  const std::vector<double> known{0.0629494, 13.35155, 458.37232};  // rounded to 6 to 8 digits
  ASSERT_EQ(eigenvalues.size(), 3u);
  for (std::size_t k = 0; k < 3; ++k) EXPECT_NEAR(eigenvalues[k], known[k], 1e-6 * known[k]) << k;
  EXPECT_EQ(inertia(report.at("inertia")), (Inertia{3, 0, 0}));
  EXPECT_EQ(report.at("zero_threshold"), 1e-11);
  EXPECT_GT(report.at("gap"), 1000);
  EXPECT_LE(report.at("residual"), 20 * 3 * 2.3e-16 * 459);
  EXPECT_FALSE(report.at("device").get<std::string>().empty());
  EXPECT_EQ(read_npy(path("v.npy")).shape, (std::vector<std::int64_t>{3, 3}));
  EXPECT_TRUE(testing::fs::exists(path("s.png")));
}

TEST_F(CliEmbedding, ZeroThresholdMovesTheCounts) {
  write_critical_model();
  const Json report = json_of("spectrum --model critical.safetensors " + kOnData + "--zero 1");
  EXPECT_EQ(inertia(report.at("inertia")), (Inertia{2, 1, 0}));
  EXPECT_EQ(report.at("zero_threshold"), 1.0);
  EXPECT_FALSE(report.at("remarks").empty()) << "0.06 and 13.35 are less than a factor of 1000 apart";
}

TEST_F(CliEmbedding, SpectrumOfASplitIsWhatTheForecastSays) {
  write_critical_model();
  const Json forecast = json_of("forecast --model critical.safetensors " + kOnData +
                                "--layer 1 --neuron 0 --alpha -0.5:1.5:0.25 --weights 0.2,0.3,0.5 --png f.png");
  EXPECT_TRUE(testing::fs::exists(path("f.png")));
  EXPECT_EQ(inertia(forecast.at("inertia")), (Inertia{3, 0, 0}));
  ASSERT_EQ(forecast.at("forecast").size(), 9u);
  const auto wide_inertia = [&](const std::string& how) {
    EXPECT_EQ(run("split --model critical.safetensors --layer 1 --neuron 0 --out wide.safetensors " + how).status, 0);
    return inertia(json_of("spectrum --model wide.safetensors " + kOnData).at("inertia"));
  };
  for (const std::size_t k : {0, 2, 3, 4, 6, 8}) {
    const Json& entry = forecast["forecast"][k];
    const double alpha = -0.5 + 0.25 * static_cast<double>(k);
    EXPECT_EQ(entry.at("alpha"), alpha);
    EXPECT_EQ(inertia(entry.at("inertia")), wide_inertia("--alpha " + std::to_string(alpha))) << alpha;
  }
  EXPECT_EQ(inertia(forecast.at("weights").at("inertia")), wide_inertia("--weights 0.2,0.3,0.5"));
  for (const char* key : {"phases", "b", "d", "b_eigenvalues", "gap", "candidates", "loss", "gradient_l1", "device"}) {
    EXPECT_TRUE(forecast.contains(key)) << key;
  }
  EXPECT_EQ(forecast["b_eigenvalues"].size(), 2u);
  EXPECT_EQ(forecast["phases"][0].at("kind"), "strict saddle");
  write_random_model();
  EXPECT_EQ(json_of("forecast --model model.safetensors --layer 1 --neuron 2 " + kOnData)["phases"][0].at("kind"),
            "not critical");
  EXPECT_EQ(forecast["candidates"][0].at("smallest_eigenvalue"), forecast["b_eigenvalues"][0]);
}

TEST_F(CliEmbedding, ForecastHitsZeroAndOneExactly) {
  write_critical_model();
  const Json forecast =
      json_of("forecast --model critical.safetensors " + kOnData + "--layer 1 --neuron 0 --alpha -0.3:1.2:0.1");
  std::vector<double> alphas;
  for (const Json& entry : forecast.at("forecast")) alphas.push_back(entry.at("alpha"));
  ASSERT_EQ(alphas.size(), 16u);
  EXPECT_EQ(alphas[3], 0.0);
  EXPECT_EQ(alphas[13], 1.0);
}

TEST_F(CliEmbedding, ReluSaysThatItsSecondDerivativeCountsAsZero) {
  const Network network = mlp({1, 3, 1}, Activation::relu);
  write_model(path("relu.safetensors"), network, random_parameters(network, {.seed = 3}));
  const Outcome outcome = run("spectrum --model relu.safetensors " + kOnData);
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_NE(outcome.err.find("second derivative of relu counts as 0"), std::string::npos) << outcome.err;
}

TEST_F(CliEmbedding, FindSaysThatTheSecondDerivativeOfReluCountsAsZero) {
  const std::string search = "find --layers 1,1,1 --bias hidden --starts 4 --out points " + kOnData + "--activation ";
  const Outcome outcome = run(search + "relu");
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_NE(outcome.err.find("second derivative of relu counts as 0"), std::string::npos) << outcome.err;
  const Json remarks = json_of(search + "leaky_relu").at("remarks");
  ASSERT_EQ(remarks.size(), 1u);
  EXPECT_EQ(remarks[0], "the second derivative of leaky_relu counts as 0 everywhere");
  EXPECT_EQ(json_of(search + "tanh").at("remarks").size(), 0u);
}

TEST_F(CliEmbedding, ExamplesOfTheHelpWorkAsPrinted) {
  std::vector<std::string> done;
  for (const std::string command : {"find", "split", "embed", "spectrum", "forecast"}) {
    const Outcome help = run(command + " --help");
    EXPECT_EQ(help.status, 0) << command;
    std::istringstream lines(help.out);
    int examples = 0;
    for (std::string line; std::getline(lines, line);) {
      if (line.rfind("  lossatlas ", 0) != 0) continue;
      ++examples;
      if (std::count(done.begin(), done.end(), line) > 0) continue;
      const Outcome outcome = run(line.substr(12));
      EXPECT_EQ(outcome.status, 0) << line << "\n" << outcome.err;
      done.push_back(line);
    }
    EXPECT_GE(examples, 2) << command;
  }
}

}  // namespace
}  // namespace lossatlas
