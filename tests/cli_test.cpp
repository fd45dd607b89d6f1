// The program as a user meets it: exit statuses, one-line errors, files, JSON, Ctrl-C.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <lossatlas/lossatlas.hpp>
#include <nlohmann/json.hpp>

#include "cli_program.hpp"

namespace lossatlas {
namespace {

using testing::Outcome;
using testing::read_text;
using testing::words;
using testing::write_text;
using Json = nlohmann::json;

const std::string kFit = "fit --train glyphs:50 --out out ";
const std::string kSection = "section --model model.safetensors --data glyphs:50 --loss ce ";
const std::string kPlane = kSection + "--directions filter --out s.npy ";

class Cli : public testing::ProgramTest {
 protected:
  /// A smooth 9 × 7 picture of one channel.
  void write_pattern() const {
    std::vector<double> values;
    for (int i = 0; i < 9; ++i) {
      for (int j = 0; j < 7; ++j) values.push_back(0.5 + 0.5 * std::sin(0.7 * i) * std::cos(0.9 * j));
    }
    const std::int64_t shape[] = {9, 7};
    write_npy(path("picture.npy"), shape, values);
  }

  /// 784-8-10, parameters from a seed.
  Model write_random_model() const {
    Model model{mlp({784, 8, 10}, Activation::tanh), {}};
    model.theta = random_parameters(model.network, {.seed = 5});
    write_model(path("model.safetensors"), model.network, model.theta);
    return model;
  }
};

bool is_one_line(const std::string& text) {
  return std::count(text.begin(), text.end(), '\n') == 1 && text.back() == '\n';
}

TEST_F(Cli, HelpTeachesAtEveryLevel) {
  const Outcome bare = run("");
  EXPECT_EQ(bare.status, 2);
  EXPECT_EQ(bare.out, "");
  EXPECT_NE(bare.err.find("Usage"), std::string::npos);
  for (const std::string command : {"", "fit ", "section ", "evaluate ", "info ", "reproduce "}) {
    const Outcome help = run(command + "--help");
    EXPECT_EQ(help.status, 0) << command;
    EXPECT_EQ(help.err, "") << command;
    EXPECT_NE(help.out.find("Examples:\n  lossatlas "), std::string::npos) << command;
  }
  EXPECT_EQ(run("--version").out, std::string("lossatlas ") + version() + "\n");
}

struct Refusal {
  std::string command;
  std::string mention;  ///< what the one line must name

  friend std::ostream& operator<<(std::ostream& stream, const Refusal& refusal) { return stream << refusal.command; }
};

class Refused : public Cli, public ::testing::WithParamInterface<Refusal> {};

TEST_P(Refused, WithOneLineAndStatusTwo) {
  write_pattern();
  const Model model = write_random_model();
  const std::string bytes = read_text(path("model.safetensors"));
  write_text(path("short.safetensors"), bytes.substr(0, bytes.size() - 8));
  write_text(path("nan.csv"), "a,b,c\n1,2,x\n3,nan,y\n");
  write_text(path("empty.csv"), "");
  const std::int64_t narrow[] = {2, 3};
  write_npy(path("narrow.npy"), narrow, std::vector<double>(6, 1.0));
  const std::int64_t wide[] = {1, model.network.parameter_count()};
  write_npy(path("nan.npy"), wide, std::vector<double>(model.theta.size(), std::nan("")));
  const auto before = files();

  const Outcome outcome = run(GetParam().command);
  EXPECT_EQ(outcome.status, 2) << outcome.err;
  EXPECT_EQ(outcome.out, "");
  EXPECT_TRUE(is_one_line(outcome.err)) << outcome.err;
  EXPECT_EQ(outcome.err.rfind("lossatlas: ", 0), 0u) << outcome.err;
  EXPECT_NE(outcome.err.find(GetParam().mention), std::string::npos) << outcome.err;
  EXPECT_EQ(files(), before) << "a refused command must not write";
}

const std::vector<Refusal> kRefusals = {
    {"fly", "fly"},
    {"fit --wings 2", "--target"},
    {kFit, "--target"},
    {kFit + "--target picture.npy --wings 2", "--wings"},
    {kFit + "--target missing.png", "missing.png"},
    {kFit + "--target nan.csv", "--target"},
    {"fit --target picture.npy --train glyphs:50", "--out"},
    {"fit --target picture.npy --train bogus:1 --out out", "glyphs"},
    {"fit --target picture.npy --train glyphs:0 --out out", "--train"},
    {"fit --target picture.npy --train glyphs:x --out out", "--train"},
    {"fit --target picture.npy --train idx:a --out out", "--train"},
    {"fit --target picture.npy --train idx:a,b --out out", "a"},
    {"fit --target picture.npy --train glyphs:50@40:60 --out out", "--train"},
    {"fit --target picture.npy --train csv:nan.csv --out out", "nan.csv"},
    {"fit --target picture.npy --train csv:empty.csv --out out", "empty.csv"},
    {"fit --target picture.npy --train glyphs:50 --out picture.npy", "--out"},
    {"fit --target picture.npy --train glyphs:50 --out picture.npy/deep", "--out"},
    {"fit --target picture.npy --train glyphs:50 --out /proc/out", "--out"},
    {kFit + "--target picture.npy --test tanh3", "--test"},
    {kFit + "--target picture.npy --transfer bogus", "--transfer"},
    {kFit + "--target picture.npy --hidden 8,x", "--hidden"},
    {kFit + "--target picture.npy --hidden 8,,8", "--hidden"},
    {kFit + "--target picture.npy --hidden 8,0", "--hidden"},
    {kFit + "--target picture.npy --activation step", "leaky_relu"},
    {kFit + "--target picture.npy --loss hinge", "--loss"},
    {kFit + "--target picture.npy --method magic", "refine"},
    {kFit + "--target picture.npy --grid 0x5", "--grid"},
    {kFit + "--target picture.npy --grid 5x5x5", "--grid"},
    {kFit + "--target picture.npy --grid 99999999999999999999", "--grid"},
    {kFit + "--target picture.npy --grid 4000000000x4000000000", "--grid"},
    {kFit + "--target picture.npy --grid 10000000x10000000", "bytes"},
    {kFit + "--target picture.npy --hidden 8,16 --margin -1", "margin"},
    {kFit + "--target picture.npy --precision f16", "--precision"},
    {kFit + "--target picture.npy --device tpu", "--device"},
    {kFit + "--target picture.npy --threads -1", "--threads"},
    {kFit + "--target picture.npy --seed -1", "--seed: received \"-1\""},
    {kFit + "--target picture.npy --seed 18446744073709551616", "--seed"},
    {kFit + "--target picture.npy --hidden 99999999999", "--hidden"},
    {kFit + "--target picture.npy --hidden 20000000,20000000", "--hidden"},
    {"fit --target picture.npy --train tanh3 --out out", "--train"},
    {kSection + "--directions filter", "--out"},
    {kSection + "--directions filter --out s.npy --png s.png --grid 20000x2", "--png"},
    {kSection + "--out s.npy", "--directions"},
    {kSection + "--directions missing.npy --out s.npy", "missing.npy"},
    {kSection + "--directions narrow.npy --out s.npy", "--directions"},
    {kSection + "--directions nan.npy --out s.npy", "--directions"},
    {kSection + "--directions nan.npy --count 3 --out s.npy", "--count"},
    {kSection + "--directions filter --normalise layer --out s.npy", "--normalise"},
    {kSection + "--directions filter --explain --out s.npy", "--explain"},
    {kPlane + "--count 0", "--count"},
    {kPlane + "--count 9999999999", "--count"},
    {kPlane + "--range 1", "--range"},
    {kPlane + "--range 0:inf", "--range"},
    {kPlane + "--range 0:1,0:1,0:1", "--range"},
    {kPlane + "--grid 3x", "--grid"},
    {kPlane + "--grid 1000000000x1000000", "bytes"},
    {kPlane + "--count 4 --grid 2 --png s.png", "--png"},
    {kPlane + "--count 4 --grid 2 --vti s.vti", "--vti"},
    {kPlane + "--png absent/s.png", "--png"},
    {kPlane + "--range 1:1 --vti s.vti", "--vti"},
    {kPlane + "--plan clever", "--plan"},
    {kPlane + "--activation tanh,", "--activation"},
    {kPlane + "--activation relu", "expected the given activations"},
    {kPlane + "--bias none", "--layers"},
    {kPlane + "--layers 784,8,11", "--layers"},
    {"section --model model.safetensors --data glyphs:50 --loss ce --directions filter --out absent/s.npy", "--out"},
    {"section --model short.safetensors --data glyphs:50 --loss ce --directions filter --out s.npy", "--model"},
    {"section --model picture.npy --data glyphs:50 --loss ce --directions filter --out s.npy", "--model"},
    {"section --model model.safetensors --data tanh3 --loss mse --directions filter --out s.npy", "--data"},
    {"evaluate --model missing.safetensors --data glyphs:50 --loss ce", "--model"},
    {"evaluate --model model.safetensors --data glyphs:50", "--loss"},
    {"evaluate --model model.safetensors --data tanh3 --loss mse", "--data"},
    {"reproduce czarnecki2019-fig9 --out out", "czarnecki2019-fig1"},
    {"reproduce czarnecki2019-fig3", "--out"},
};

INSTANTIATE_TEST_SUITE_P(BadInput, Refused, ::testing::ValuesIn(kRefusals));

TEST_F(Cli, FitWritesEveryFileAndAConsistentReport) {
  write_pattern();
  const Outcome outcome =
      run("fit --target picture.npy --train glyphs:200 --test glyphs:100,seed=3 --transfer glyphs:100,seed=4 "
          "--transfer glyphs:100,seed=4 "
          "--hidden 8,64 --out out --device auto --json");
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  ASSERT_TRUE(is_one_line(outcome.err)) << outcome.err;
  EXPECT_EQ(outcome.err.rfind("device: cpu", 0), 0u) << outcome.err;
  const Json report = Json::parse(read_text(path("out/report.json")));
  EXPECT_EQ(Json::parse(outcome.out), report);

  const auto written = files();
  for (const char* name : {"target.png", "surface-train.png", "surface-test.png", "compare.png", "surface.npy",
                           "model.safetensors", "directions.npy", "report.json"}) {
    EXPECT_TRUE(written.count(std::string("out/") + name)) << name;
  }
  EXPECT_EQ(written.size(), 12u) << "the folder, ten files and the picture: no leftovers";

  for (const char* key :
       {"psnr_db", "rms_error", "max_error", "offset", "sigma_min", "loss_min", "loss_max", "transfer", "device",
        "precision", "seconds", "network", "parameters", "method", "seed", "target", "plan"}) {
    EXPECT_TRUE(report.contains(key)) << key;
  }
  for (const char* key : {"features", "solve", "refine", "surface", "total"}) {
    EXPECT_TRUE(report["seconds"].contains(key)) << key;
  }
  ASSERT_EQ(report["transfer"].size(), 3u);
  for (const Json& entry : report["transfer"]) {
    EXPECT_NEAR(entry["rms_difference"], entry["predicted_rms_difference"], 1e-10) << entry;
    EXPECT_LE(entry["max_disagreement"], 1e-10) << entry;
    EXPECT_TRUE(written.count("out/" + entry["picture"].get<std::string>())) << entry;
  }
}

TEST_F(Cli, FitDrawsAPictureOfOneValue) {
  const std::int64_t shape[] = {1};
  write_npy(path("one.npy"), shape, std::vector<double>{0.5});
  const Outcome outcome = run(kFit + "--target one.npy --hidden 8,16");
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_TRUE(testing::fs::exists(path("out/compare.png")) && testing::fs::exists(path("out/report.json")));
}

TEST_F(Cli, FitReportFollowsFromItsFiles) {
  write_pattern();
  ASSERT_EQ(run("fit --target picture.npy --train glyphs:200 --hidden 8,64 --out out").status, 0);
  const Json report = Json::parse(read_text(path("out/report.json")));
  const Array target = read_npy(path("picture.npy"));
  const Array surface = read_npy(path("out/surface.npy"));
  ASSERT_EQ(surface.shape, (std::vector<std::int64_t>{9, 7, 1}));
  std::vector<double> residual(63);
  for (std::size_t g = 0; g < residual.size(); ++g) residual[g] = surface.values[g] - target.values[g];
  const double offset = std::accumulate(residual.begin(), residual.end(), 0.0) / 63;
  double square = 0;
  double largest = 0;
  for (const double r : residual) {
    square += (r - offset) * (r - offset);
    largest = std::max(largest, std::abs(r - offset));
  }
  const double rms = std::sqrt(square / 63);
  EXPECT_NEAR(report["offset"][0], offset, 1e-12);
  EXPECT_NEAR(report["rms_error"], rms, 1e-12);
  EXPECT_NEAR(report["max_error"], largest, 1e-12);
  EXPECT_NEAR(report["psnr_db"], -20 * std::log10(rms), 1e-6);
  EXPECT_LT(rms, 0.05) << "63 pixels and 64 features";
  EXPECT_EQ(report["loss_min"], *std::min_element(surface.values.begin(), surface.values.end()));
  EXPECT_EQ(report["loss_max"], *std::max_element(surface.values.begin(), surface.values.end()));
}

TEST_F(Cli, SectionOfASavedFitHasTheSameBits) {
  write_pattern();
  ASSERT_EQ(run("fit --target picture.npy --train glyphs:200 --hidden 8,64 --grid 11x5 --out out").status, 0);
  const std::string section =
      "section --model out/model.safetensors --directions out/directions.npy --data glyphs:200 --loss ce "
      "--range 0:1 --grid 11x5 ";
  ASSERT_EQ(run(section + "--out again.npy --png again.png --vti again.vti --threads 1").status, 0);
  const std::string expected = read_text(path("out/surface.npy"));
  EXPECT_FALSE(expected.empty());
  EXPECT_TRUE(read_text(path("again.npy")) == expected);
  EXPECT_TRUE(testing::fs::exists(path("again.png")) && testing::fs::exists(path("again.vti")));

  ASSERT_EQ(run(section + "--plan direct --out direct.npy").status, 0);
  const Array surface = read_npy(path("again.npy"));
  const Array direct = read_npy(path("direct.npy"));
  // Sums of 64 terms, whose order the shortcut changes.
  for (std::size_t g = 0; g < surface.values.size(); ++g) EXPECT_NEAR(direct.values[g], surface.values[g], 1e-10) << g;
}

TEST_F(Cli, SectionJsonDescribesTheSurface) {
  const Model model = write_random_model();
  const Outcome outcome =
      run(kSection + "--directions random --count 2 --seed 9 --orthogonalise --grid 4x3 --out s.npy --json");
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  const Json json = Json::parse(outcome.out);
  const Array losses = read_npy(path("s.npy"));
  EXPECT_EQ(losses.shape, (std::vector<std::int64_t>{4, 3, 1}));
  EXPECT_EQ(json["min"], *std::min_element(losses.values.begin(), losses.values.end()));
  EXPECT_EQ(json["max"], *std::max_element(losses.values.begin(), losses.values.end()));
  EXPECT_EQ(json["nonfinite"], 0);
  EXPECT_NEAR(json["cosines"][0][1], 0, 1e-12);
  EXPECT_EQ(json["cosines"][1][1], 1.0);
  EXPECT_GT(json["points_per_second"], 0);

  RandomDirectionOptions options{.count = 2, .seed = 9};
  options.normalisation = Normalisation::none;
  const Section section =
      orthogonalised(make_section(model.network, model.theta, random_directions(model.network, model.theta, options)));
  const Landscape landscape(model.network, glyphs(50), Loss::cross_entropy, Device::cpu());
  EXPECT_EQ(landscape.evaluate(section, Grid::box(-1, 1, {4, 3})).losses, losses.values);
}

TEST_F(Cli, SectionFromZeroAlongTheModelEndsAtTheModel) {
  const Model model = write_random_model();
  const std::int64_t shape[] = {1, model.network.parameter_count()};
  write_npy(path("model.npy"), shape, model.theta);
  ASSERT_EQ(run(kSection + "--origin zero --directions model.npy --range 0:1 --grid 2 --out s.npy").status, 0);
  const Array losses = read_npy(path("s.npy"));
  const Landscape landscape(model.network, glyphs(50), Loss::cross_entropy, Device::cpu());
  EXPECT_NEAR(losses.values[0], std::log(10.0), 1e-12);
  EXPECT_NEAR(losses.values[1], landscape.evaluate(model.theta).loss(), 1e-12);
}

TEST_F(Cli, ExplainPrintsThePlanAndWritesNothing) {
  write_random_model();
  const auto before = files();
  const Outcome outcome = run(kSection + "--directions filter --device cpu --threads 2 --precision f32 --explain");
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  for (const char* part : {"plan: joint", "\nfloor: ", " ms (products ", "\nrates: measured now on cpu, 2 threads"}) {
    EXPECT_NE(outcome.out.find(part), std::string::npos) << part << " in " << outcome.out;
  }
  const Outcome told = run(kSection + "--directions filter --device cpu --explain --json");
  const Json json = Json::parse(told.out), rates = json["rates"];
  EXPECT_TRUE(json["plan"].is_array()) << told.out;
  const auto seconds = [&](const char* work) { return json[work].get<double>() / rates[work].get<double>(); };
  EXPECT_EQ(json["floor_seconds"].get<double>(),
            std::max(seconds("flop") + seconds("transcendental"), seconds("bytes")));
  EXPECT_EQ(files(), before);
}

TEST_F(Cli, EvaluateAgreesWithTheLibrary) {
  const Model model = write_random_model();
  const Outcome outcome = run("evaluate --model model.safetensors --data glyphs:50 --loss ce --json");
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  const Json json = Json::parse(outcome.out);
  const Landscape landscape(model.network, glyphs(50), Loss::cross_entropy, Device::cpu());
  const Evaluation expected = landscape.evaluate(model.theta);
  EXPECT_EQ(json["loss"].get<std::vector<double>>(), expected.losses);
  EXPECT_EQ(json["accuracy"].get<std::vector<double>>(), expected.accuracy);
  double l1 = 0;
  double square = 0;
  double largest = 0;
  for (const double g : landscape.gradient(model.theta)) {
    l1 += std::abs(g);
    square += g * g;
    largest = std::max(largest, std::abs(g));
  }
  EXPECT_NEAR(json["gradient_l1"], l1, 1e-12 * l1);
  EXPECT_NEAR(json["gradient_l2"], std::sqrt(square), 1e-12);
  EXPECT_EQ(json["gradient_max"], largest);
}

TEST_F(Cli, EvaluatePrintsNullAccuracyForRealTargets) {
  const Network network = mlp({1, 4, 1}, Activation::tanh);
  write_model(path("line.safetensors"), network, random_parameters(network));
  const Outcome outcome = run("evaluate --model line.safetensors --data tanh3 --loss mse --json");
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_TRUE(Json::parse(outcome.out)["accuracy"][0].is_null()) << outcome.out;
}

TEST_F(Cli, ReadsAFileOfPyTorchWithItsArchitecture) {
  // 2-3-1 of ones, as nn.Sequential(Linear, Tanh, Linear) stores it; F32.
  const std::string header = R"({"0.weight":{"dtype":"F32","shape":[3,2],"data_offsets":[0,24]},)"
                             R"("0.bias":{"dtype":"F32","shape":[3],"data_offsets":[24,36]},)"
                             R"("2.weight":{"dtype":"F32","shape":[1,3],"data_offsets":[36,48]},)"
                             R"("2.bias":{"dtype":"F32","shape":[1],"data_offsets":[48,52]}})";
  std::string bytes(8, '\0');
  for (int i = 0; i < 8; ++i) bytes[static_cast<std::size_t>(i)] = static_cast<char>((header.size() >> (8 * i)) & 255);
  bytes += header;
  for (int i = 0; i < 13; ++i) bytes += std::string("\0\0\x80\x3f", 4);
  write_text(path("torch.safetensors"), bytes);
  write_text(path("data.csv"), "0.5,0.25,2.5\n-1,0.5,0.5\n");
  const Outcome outcome =
      run("evaluate --model torch.safetensors --layers 2,3,1 --activation tanh --bias all --data csv:data.csv --loss "
          "mse --json");
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  const double first = 3 * std::tanh(1.75) + 1 - 2.5;
  const double second = 3 * std::tanh(0.5) + 1 - 0.5;
  EXPECT_NEAR(Json::parse(outcome.out)["loss"][0], (first * first + second * second) / 2, 1e-14);
  EXPECT_EQ(run("evaluate --model torch.safetensors --data csv:data.csv --loss mse").status, 2);
}

TEST_F(Cli, CudaWithoutAModuleFails) {
  write_random_model();
  const Outcome outcome = run("evaluate --model model.safetensors --data glyphs:50 --loss ce --device cuda");
  EXPECT_EQ(outcome.status, 1);
  EXPECT_EQ(outcome.out, "");
  EXPECT_TRUE(is_one_line(outcome.err)) << outcome.err;
}

// That there is no GPU is no news to those who did not ask for one.
TEST_F(Cli, TheDeviceIsNotedIfItWasGiven) {
  write_random_model();
  const std::string evaluate = "evaluate --model model.safetensors --data glyphs:50 --loss ce";
  EXPECT_EQ(run(evaluate).err, "");
  EXPECT_EQ(run(evaluate + " --device cpu").err, "");
  EXPECT_EQ(run(evaluate + " --device auto").err.rfind("device: cpu", 0), 0u);
}

TEST_F(Cli, InfoIsJsonOnRequest) {
  const Json json = Json::parse(run("info --json").out);
  EXPECT_EQ(json["version"], version());
  EXPECT_NE(json["libraries"].get<std::string>().find("zlib 1."), std::string::npos);
  EXPECT_TRUE(json["cuda"]["devices"].empty());
  EXPECT_EQ(json["cuda"]["module"], "");
  EXPECT_NE(json["cuda"]["missing"].get<std::string>().find("/nonexistent/module.so"), std::string::npos);
  const std::string words = run("info").out;
  EXPECT_NE(words.find(version()), std::string::npos);
  EXPECT_NE(words.find("no CUDA module"), std::string::npos) << words;
}

TEST_F(Cli, OutputThatCannotBeWrittenIsAFailure) {
  if (::access("/dev/full", W_OK) != 0) GTEST_SKIP() << "no /dev/full here";
  for (const char* arguments : {"--help", "--version", "section --help", "info"}) {
    const std::string command = testing::program_path() + " " + arguments + " >/dev/full 2>" + path("err").string();
    EXPECT_EQ(WEXITSTATUS(std::system(command.c_str())), 1) << arguments;
    EXPECT_EQ(testing::read_text(path("err")), "lossatlas: standard output cannot be written\n") << arguments;
  }
}

TEST_F(Cli, InterruptEndsAtOnceWithStatus130) {
  write_random_model();
  const pid_t child = start(words(kSection + "--directions random --plan direct --grid 3000x3000 --device auto --out s.npy"));
  // The note on the device is printed when work has begun.
  for (int i = 0; i < 2000 && read_text(log("err")).empty(); ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  const auto asked = std::chrono::steady_clock::now();
  kill(child, SIGINT);
  const Outcome outcome = finish(child);
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - asked).count();
  EXPECT_EQ(outcome.status, 130) << outcome.err;
  EXPECT_LT(seconds, 2.0);
  EXPECT_NE(outcome.err.find("lossatlas: interrupted"), std::string::npos) << outcome.err;
  EXPECT_FALSE(testing::fs::exists(path("s.npy")));
}

TEST_F(Cli, ExamplesOfTheHelpWorkAsPrinted) {
  std::vector<std::string> done;
  for (const std::string command : {"section", "convert", "evaluate", "info"}) {
    std::istringstream help(run(command + " --help").out);
    int examples = 0;
    for (std::string line; std::getline(help, line);) {
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
