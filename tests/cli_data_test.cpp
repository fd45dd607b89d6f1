// Users' data and models as the program meets them: tables, labels, files of other programs, files that grow in memory.
#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <lossatlas/lossatlas.hpp>
#include <nlohmann/json.hpp>

#include "cli_program.hpp"
#include "sample_files.hpp"

namespace lossatlas {
namespace {

using testing::little;
using testing::little_list;
using testing::npy;
using testing::Outcome;
using testing::safetensors;
using testing::write_text;
using Json = nlohmann::json;

class CliData : public testing::ProgramTest {
 protected:
  /// The one line of a refusal.
  std::string refused(const std::string& command) const {
    const Outcome outcome = run(command);
    EXPECT_EQ(outcome.status, 2) << command << "\n" << outcome.out << outcome.err;
    EXPECT_EQ(std::count(outcome.err.begin(), outcome.err.end(), '\n'), 1) << outcome.err;
    return outcome.err;
  }
  Json json_of(const std::string& command) const {
    const Outcome outcome = run(command + " --json");
    EXPECT_EQ(outcome.status, 0) << command << "\n" << outcome.err;
    return outcome.status == 0 ? Json::parse(outcome.out) : Json();
  }
  static void expect_part(const std::string& text, const std::string& part) {
    EXPECT_NE(text.find(part), std::string::npos) << "no \"" << part << "\" in\n" << text;
  }

  /// inputs-outputs without a hidden layer: output c is the input c.
  void write_identity(const std::string& name, std::int64_t inputs, std::int64_t outputs, double scale = 1) const {
    std::vector<double> theta(static_cast<std::size_t>(inputs * outputs + outputs), 0);
    for (std::int64_t c = 0; c < std::min(inputs, outputs); ++c)
      theta[static_cast<std::size_t>(c * inputs + c)] = scale;
    write_model(path(name), mlp({inputs, outputs}, Activation::tanh), theta);
  }
  /// 2-2-2 of ones, as nn.Sequential(Linear, ReLU, Linear) stores it.
  void write_sequential(const std::string& name) const {
    const std::string header = R"({"0.weight":{"dtype":"F64","shape":[2,2],"data_offsets":[0,32]},)"
                               R"("0.bias":{"dtype":"F64","shape":[2],"data_offsets":[32,48]},)"
                               R"("2.weight":{"dtype":"F64","shape":[2,2],"data_offsets":[48,80]},)"
                               R"("2.bias":{"dtype":"F64","shape":[2],"data_offsets":[80,96]}})";
    std::string data;
    for (int i = 0; i < 12; ++i) data += little(1.0);
    write_text(path(name), safetensors(header, data));
  }
};

const std::string kTable = "1,0,0,a\n0,1,0,b\n0,0,1,c\n2,0,0,a\n0,2,0,b\n0,0,2,c\n";

TEST_F(CliData, ClassesKeepTheirNumbersInEveryFile) {
  write_identity("m.safetensors", 3, 3, 10);
  write_text(path("all.csv"), kTable);
  write_text(path("rest.csv"), "0,1,0,b\n0,0,1,c\n0,2,0,b\n0,0,2,c\n");
  const std::string evaluate = "evaluate --model m.safetensors --loss ce --data csv:";
  EXPECT_EQ(json_of(evaluate + "all.csv")["accuracy"][0], 1.0);
  EXPECT_EQ(json_of(evaluate + "rest.csv,classes=a,b,c")["accuracy"][0], 1.0) << "the rows without the first class";
  EXPECT_EQ(json_of(evaluate + "rest.csv,classes=a,b,c@1:3")["accuracy"][0], 1.0);
  EXPECT_EQ(json_of(evaluate + "rest.csv,classes=c,b,a")["accuracy"][0], 0.5) << "the order given";
  const std::string line = refused(evaluate + "all.csv,classes=a,b");
  expect_part(line, "--data: ");
  expect_part(line, "\"c\" on line 3, column 4");
}

TEST_F(CliData, AFilesOwnClassesArePrinted) {
  write_identity("m.safetensors", 3, 3, 10);
  write_text(path("all.csv"), kTable);
  const Outcome own = run("evaluate --model m.safetensors --loss ce --data csv:all.csv");
  expect_part(own.err, "note: --data: ");
  expect_part(own.err, "classes=a,b,c");
  const Outcome given = run("evaluate --model m.safetensors --loss ce --data csv:all.csv,classes=a,b,c");
  EXPECT_EQ(given.err.find("note: --data"), std::string::npos) << given.err;
  expect_part(run("evaluate --help").out, "classes=");
}

TEST_F(CliData, TestAndTransferTakeTheTrainingFilesClasses) {
  write_text(path("train.csv"), kTable);
  write_text(path("b.csv"), "0,1,0,b\n0,2,0,b\n0,2,1,c\n");
  write_text(path("d.csv"), "0,1,0,d\n0,2,0,b\n0,2,1,c\n");
  write_text(path("numbers.csv"), "0,1,0,0\n0,1,0,2\n1,0,0,2\n1,2,0,2\n");
  const std::int64_t shape[] = {5};
  write_npy(path("line.npy"), shape, std::vector<double>{0, 0.5, 1, 0.5, 0});
  const std::string fit = "fit --target line.npy --train csv:train.csv --hidden 4,16 --out out ";
  const Json report = json_of(fit + "--test csv:b.csv --transfer csv:b.csv,classes=a,b,c");
  ASSERT_EQ(report["transfer"].size(), 2u);
  EXPECT_EQ(report["transfer"][0]["rms_difference"], report["transfer"][1]["rms_difference"]);
  EXPECT_GT(report["transfer"][0]["rms_difference"], 0.0);
  for (const std::string option : {"--test", "--transfer"}) {
    const std::string line = refused(fit + option + " csv:d.csv");
    expect_part(line, option + ": ");
    expect_part(line, "\"d\" on line 1, column 4");
    expect_part(refused(fit + option + " csv:b.csv,classes=c,b,a"), option + ": ");
  }
  write_text(path("numbered.csv"), "1,0,0,0\n0,1,0,1\n0,0,1,2\n2,0,0,0\n");
  const Json numbered =
      json_of("fit --target line.npy --train csv:numbered.csv --test csv:numbers.csv --hidden 4,16 --out out2");
  EXPECT_EQ(numbered["transfer"].size(), 1u) << "0 and 2 without 1 are labels where the training file has 0, 1, 2";
}

TEST_F(CliData, LabelsThatDoNotStartAtZeroAreNamedAlike) {
  write_identity("three.safetensors", 1, 3);
  write_text(path("t.csv"), "5,1\n6,2\n7,3\n8,1\n");
  write_text(path("minus.csv"), "5,-1\n6,1\n7,1\n8,-1\n");
  write_text(path("far.csv"), "5,0\n6,1\n7,2\n8,255\n");
  write_text(path("x.npy"), npy("<f8", "(4, 1)", little_list<double>({5, 6, 7, 8})));
  write_text(path("t.npy"), npy("<i4", "(4,)", little_list<std::int32_t>({1, 2, 3, 1})));
  write_text(path("column.npy"), npy("<i4", "(4, 1)", little_list<std::int32_t>({1, 2, 3, 1})));
  write_text(path("minus.npy"), npy("|i1", "(4,)", "\xff\1\1\xff"));
  write_text(path("far.npy"), npy("|u1", "(4,)", std::string("\0\1\2\xff", 4)));
  const std::string evaluate = "evaluate --model three.safetensors --loss ce --data ";
  const auto tail = [&](const std::string& spec) {
    const std::string line = refused(evaluate + spec);
    expect_part(line, "--data: ");
    expect_part(line, "labels start at 0");
    return line.substr(std::min(line.find("label "), line.size()));
  };
  const std::string above = tail("csv:t.csv");
  expect_part(above, "label 3 of sample 2");
  EXPECT_EQ(tail("npy:x.npy,t.npy"), above);
  EXPECT_EQ(tail("npy:x.npy,column.npy"), above);
  const std::string below = tail("csv:minus.csv");
  expect_part(below, "label -1 of sample 0");
  // The reader of integers doesn't know how many outputs there will be.
  const std::string integers = tail("npy:x.npy,minus.npy");
  expect_part(integers, "label -1 of sample 0, expected 0 to 999");
  EXPECT_EQ(integers.substr(integers.find(": labels")), below.substr(below.find(": labels")));
  const std::string far = tail("csv:far.csv");
  expect_part(far, "label 255 of sample 3");
  EXPECT_EQ(tail("npy:x.npy,far.npy"), far);
  EXPECT_EQ(json_of(evaluate + "csv:t.csv,classes=1,2,3")["loss"].size(), 1u);
}

TEST_F(CliData, WholeNumbersAreRealTargetsOnRequest) {
  write_text(path("xor.csv"), "0,0,0\n0,1,1\n1,0,1\n1,1,0\n");
  write_text(path("x.npy"), npy("<f8", "(4, 2)", little_list<double>({0, 0, 0, 1, 1, 0, 1, 1})));
  write_text(path("y.npy"), npy("<i8", "(4,)", little_list<std::int64_t>({0, 1, 1, 0})));
  const std::string find = "find --layers 2,2,1 --loss mse --starts 2 --data ";
  for (const std::string spec : {"csv:xor.csv", "npy:x.npy,y.npy"}) {
    expect_part(refused(find + spec + " --out points"), ",real");
    const Json found = json_of(find + spec + ",real --out points");
    EXPECT_EQ(found["data"]["outputs"], 1) << spec;
  }
}

TEST_F(CliData, TheActivationIsNeverAssumed) {
  write_sequential("s.safetensors");
  write_text(path("t.csv"), "1,0,a\n0,1,b\n3,1,a\n");
  const std::string data = " --data csv:t.csv,classes=a,b --loss ce";
  for (const std::string command :
       {"evaluate", "section --directions random --count 1 --grid 3 --out s.npy", "spectrum",
        "forecast --layer 1 --neuron 0", "split --layer 1 --neuron 0 --out w.safetensors"}) {
    expect_part(refused(command + " --model s.safetensors --layers 2,2,2" + data), "--activation");
    expect_part(refused(command + " --model s.safetensors --layers 2,2,2 --activation none" + data), "--activation");
  }
  EXPECT_EQ(json_of("evaluate --model s.safetensors --layers 2,2,2 --activation relu" + data)["loss"].size(), 1u);
}

TEST_F(CliData, ForeignModelsAreEmbedded) {
  write_sequential("s.safetensors");
  const std::string embed = "embed --model s.safetensors --layers 2,4,2 --out w.safetensors ";
  expect_part(refused(embed), "--activation");
  expect_part(refused(embed + "--model-layers 2,2,2"), "--activation");
  expect_part(refused(embed + "--model-layers 2,3,2 --activation relu"), "--model-layers: ");
  ASSERT_EQ(run(embed + "--model-layers 2,2,2 --activation relu").status, 0);
  EXPECT_EQ(read_model(path("w.safetensors")).network, mlp({2, 4, 2}, Activation::relu));
}

TEST_F(CliData, AConvertedModelKnowsItsNetwork) {
  write_sequential("s.safetensors");
  ASSERT_EQ(run("convert s.safetensors --activation sine --out c.safetensors").status, 0);
  const Model model = read_model(path("c.safetensors"));
  EXPECT_EQ(model.network, mlp({2, 2, 2}, Activation::sine));
  EXPECT_EQ(model.theta, std::vector<double>(12, 1.0));
  const Json report = json_of("convert --model s.safetensors --activation sine --heads 2 --out c.safetensors");
  EXPECT_EQ(report["network"]["heads"], 2);
  EXPECT_EQ(report["parameters"], 12);
  expect_part(refused("convert s.safetensors --activation sine,relu --out c.safetensors"), "2 given activations");
  expect_part(refused("convert s.safetensors --activation sine --layers 2,3,2 --out c.safetensors"), "--layers");
  expect_part(refused("convert s.safetensors --activation sine --out s.safetensors"), "--out");
  expect_part(refused("convert --activation sine --out c.safetensors"), "--model is required");
}

TEST_F(CliData, FilesOfOtherProgramsAreNamed) {
  write_identity("m.safetensors", 1, 1);
  const std::string zip = "PK\3\4" + std::string(26, '\0');
  write_text(path("net.pt"), zip + "archive/data.pkl" + std::string(64, '\0'));
  write_text(path("old.pth"), "\x80\2\x8a\nl\xfc\x9c" + std::string(64, '\0'));
  write_text(path("data.npz"), zip + "x.npy" + std::string(64, '\0'));
  write_text(path("keras.h5"), "\x89HDF\r\n\x1a\n" + std::string(64, '\0'));
  write_text(path("net.onnx"), std::string("\x08\x07\x12\x07pytorch\x1a\x05") + "2.0.1" + std::string(64, '\0'));
  write_text(path("index.json"), "{\"metadata\": {\"total_size\": 96}, \"weight_map\": {}}");
  const std::vector<std::pair<std::string, std::string>> kinds = {{"net.pt", "PyTorch"}, {"old.pth", "PyTorch"},
                                                                  {"data.npz", ".npz"},  {"keras.h5", "HDF5"},
                                                                  {"net.onnx", "ONNX"},  {"index.json", "JSON"}};
  for (const auto& [file, kind] : kinds) {
    const std::string line = refused("evaluate --loss mse --data tanh3 --model " + file);
    expect_part(line, "--model: ");
    expect_part(line, "which is not a safetensors file but ");
    expect_part(line, kind);
    for (const std::string& spec : {"csv:" + file, "npy:" + file + "," + file, "idx:" + file + "," + file}) {
      if (kind == "JSON") continue;
      expect_part(refused("evaluate --loss mse --model m.safetensors --data " + spec), kind);
    }
  }
  expect_part(refused("evaluate --loss mse --data tanh3 --model net.pt"), "save_file");
}

TEST_F(CliData, ABadSliceOfALongDescriptionIsNamed) {
  write_identity("m.safetensors", 1, 1);
  const std::string folder(70, 'f');
  testing::fs::create_directory(path(folder));
  write_text(path(folder + "/t.csv"), "1,2.5\n3,4\n");
  const std::string evaluate = "evaluate --model m.safetensors --loss mse --data csv:" + folder + "/t.csv";
  expect_part(refused(evaluate + "@5:2"), "\"@5:2\"");
  expect_part(refused(evaluate + "@0:3"), "\"@0:3\"");
  expect_part(refused(evaluate + ",standardize"), "\"standardize\"");
}

TEST_F(CliData, TinyNumbersOfOptionsAreZero) {
  write_identity("m.safetensors", 1, 1);
  const Json section = json_of(
      "section --model m.safetensors --data tanh3 --loss mse --directions random --count 1 --range 1e-400:1 --grid 2 "
      "--out s.npy");
  EXPECT_EQ(section["grid"][0]["lo"], 0.0);
}

}  // namespace
}  // namespace lossatlas
