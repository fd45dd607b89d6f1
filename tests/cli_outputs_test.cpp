// What commands write: never over their input, only what a name's ending says, links followed or refused.
#include <sys/stat.h>

#include <map>

#include <gtest/gtest.h>
#include <lossatlas/lossatlas.hpp>

#include "cli_program.hpp"

namespace lossatlas {
namespace {

namespace fs = std::filesystem;
using testing::Outcome;
using testing::read_text;
using testing::words;
using testing::write_text;

/// A model 1-2-1 with a table, arrays and directions, also under names with commas, colons and @.
class Outputs : public testing::ProgramTest {
 protected:
  void SetUp() override {
    testing::ProgramTest::SetUp();
    const Network network = mlp({1, 2, 1}, Activation::tanh);
    const std::vector<double> theta = random_parameters(network, {.seed = 3});
    write_model(path("m.safetensors"), network, theta);
    const std::int64_t shape[] = {1, network.parameter_count()};
    write_npy(path("directions.npy"), shape, theta);
    const std::int64_t samples[] = {4, 1};
    write_npy(path("x.npy"), samples, std::vector<double>{-1, 0.5, 1, 2});
    write_npy(path("y,z.npy"), samples, std::vector<double>{-0.5, 0.5, 0.25, 1});
    for (const char* table : {"a,b", "a:b", "a@b", "d", "d.partial"})
      write_text(path(table), "0.5,2.5\n-1,0.25\n1,1\n");
    fs::copy(path("m.safetensors"), path("m"));
    fs::create_directory(path("deep"));
    fs::create_symlink("../m", path("deep/link"));
    fs::create_symlink(path("d"), path("deep/table"));
    fs::create_hard_link(path("directions.npy"), path("hard.npy"));
    fs::create_symlink("nowhere", path("dangling"));
    fs::create_symlink("loop", path("loop"));
  }

  std::map<std::string, std::string> contents() const {
    std::map<std::string, std::string> all;
    for (const auto& entry : fs::recursive_directory_iterator(path(""))) {
      const fs::path& file = entry.path();
      all[file.string()] = fs::is_symlink(file) ? fs::read_symlink(file).string() : read_text(file);
    }
    return all;
  }
  /// The error of a command that must change nothing.
  std::string refused(const std::string& line) const {
    const auto before = contents();
    const Outcome outcome = run(line);
    EXPECT_EQ(outcome.status, 2) << line;
    EXPECT_EQ(outcome.out, "") << line;
    EXPECT_TRUE(contents() == before) << line;
    return outcome.err;
  }
  void expect_refused(const std::string& line, const std::string& option, const std::string& part) const {
    const std::string error = refused(line);
    EXPECT_EQ(error.rfind("lossatlas: " + option + ": ", 0), 0u) << line << "\n" << error;
    EXPECT_NE(error.find(part), std::string::npos) << line << "\n" << error;
    EXPECT_EQ(std::count(error.begin(), error.end(), '\n'), 1) << error;
  }
  void run_well(const std::string& line) const {
    const Outcome outcome = run(line);
    ASSERT_EQ(outcome.status, 0) << line << "\n" << outcome.err;
  }
};

const std::string kSection = "section --directions directions.npy --grid 3 --loss mse ";
const std::string kLook = " --loss mse --layer 1 --neuron 0 ";

TEST_F(Outputs, NoInputIsOverwrittenByAnyCommand) {
  const std::string section = kSection + "--model m --data ";
  run_well(section + "csv:d --shard 1/2 --out one");
  run_well(section + "csv:d --shard 2/2 --out two");
  fs::create_hard_link(path("two"), path("two.npy"));
  for (const auto& [line, option] : std::vector<std::pair<std::string, std::string>>{
           {section + "csv:a,b --out a,b", "--out"},
           {section + "csv:a:b --out a:b", "--out"},
           {section + "csv:a@b@0:2 --out a@b", "--out"},
           {section + "csv:d --out ./deep/../d", "--out"},
           {section + "csv:d --out deep/table", "--out"},
           {section + "csv:deep/table,target=1 --out d", "--out"},
           {section + "csv:d --out deep/link", "--out"},
           {section + "csv:d --out hard.npy", "--out"},
           {section + "npy:x.npy,y,z.npy@1:3 --out x.npy", "--out"},
           {section + "npy:x.npy,y,z.npy --out y,z.npy", "--out"},
           {section + "csv:d.partial --out d --resume", "--out"},
           {section + "csv:d.partial --out d --shard 1/2", "--out"},
           {section + "csv:d --out s.npy --png m", "--png"},
           {section + "csv:d --out s.npy --vti d", "--vti"},
           {section + "csv:d --shard 1/2 --out d", "--out"},
           {"merge --out one one two", "--out"},
           {"merge --out two.npy one two", "--out"},
           {"merge --out s.npy --png two one two", "--png"},
           {"split --model m.safetensors --layer 1 --neuron 0 --out m.safetensors", "--out"},
           {"split --model m --layer 1 --neuron 0 --data csv:a,b --loss mse --out a,b", "--out"},
           {"embed --model m --layers 1,3,1 --out deep/link", "--out"},
           {"embed --model m.safetensors --layers 1,3,1 --data csv:d --loss mse --out deep/table", "--out"},
           {"spectrum --model m --data csv:d --loss mse --png m", "--png"},
           {"spectrum --model m --data csv:d --loss mse --png deep/table", "--png"},
           {"spectrum --model m --data npy:x.npy,y,z.npy --loss mse --vectors x.npy", "--vectors"},
           {"forecast --model m --data csv:a,b" + kLook + "--png a,b", "--png"},
           {"forecast --model m --data csv:d" + kLook + "--png deep/link", "--png"}})
    expect_refused(line, option, "which is also the input ");
}

TEST_F(Outputs, NoInputInTheFolderOfResultsIsOverwritten) {
  run_well("fit --target demo --train glyphs:50 --hidden 2,4 --grid 3x3 --out out");
  fs::create_directory(path("points"));
  fs::create_directory(path("figure"));
  for (const char* table : {"points/critical_points.json", "points/critical-7.safetensors", "figure/report.json",
                            "figure/figure3.csv", "figure/width-3.safetensors"})
    write_text(path(table), "0.5,2.5\n-1,0.25\n1,1\n");
  fs::create_symlink("../d", path("points/critical-123.safetensors"));
  const std::string fit = "fit --hidden 2,4 --grid 3x3 --out out --train ";
  const std::string find = "find --layers 1,1,1 --loss mse --starts 2 --out points --data csv:";
  const std::string reproduce = "reproduce --out figure --data csv:";
  for (const std::string& line :
       {fit + "glyphs:50 --target out/target.png", fit + "glyphs:50 --target out/compare.png",
        fit + "glyphs:50 --target out/surface.npy", find + "points/critical_points.json",
        find + "points/critical-7.safetensors", find + "d", reproduce + "figure/report.json zhang2021-fig3a",
        reproduce + "figure/width-3.safetensors zhang2021-fig3a", reproduce + "figure/report.json zhang2021-fig3b",
        reproduce + "figure/figure3.csv czarnecki2019-fig3"})
    expect_refused(line, "--out", "which is also the input ");
  // Another data set's name, which is part of a picture's.
  const std::int64_t inputs[] = {2, 784};
  const std::int64_t targets[] = {2, 10};
  write_npy(path("out/surface-transfer-t.png"), inputs, std::vector<double>(2 * 784, 0.5));
  write_npy(path("l.npy"), targets, std::vector<double>(2 * 10, 0.5));
  fs::create_symlink("out/surface-transfer-t.png", path("t.npy"));
  expect_refused(
      "fit --target demo --loss mse --hidden 2,4 --grid 3x3 --out out --train npy:t.npy,l.npy --transfer "
      "npy:t.npy,l.npy",
      "--out", "which is also the input t.npy");
}

TEST_F(Outputs, NoOutputIsAnotherOnes) {
  const std::string section = kSection + "--model m --data csv:d --out ";
  fs::create_symlink("new", path("to_new"));
  for (const auto& [outputs, option] :
       std::vector<std::pair<std::string, std::string>>{{"s --png s", "--png"},
                                                        {"s --png ./deep/../s", "--png"},
                                                        {"s.npy --png p --vti deep/../p", "--vti"},
                                                        {"s --vti dangling --png nowhere", "--vti"},
                                                        {"new --png to_new", "--png"},
                                                        {"to_new --png new", "--png"}})
    expect_refused(section + outputs, option, "which is also the file of ");
  expect_refused("spectrum --model m --data csv:d --loss mse --png p --vectors p", "--png", "--vectors, p");
  run_well(section + "s.npy --png /dev/null --vti /dev/null");
}

TEST_F(Outputs, ANameEndsInWhatItIs) {
  const std::string section = kSection + "--model m --data csv:d ", shard = section + "--shard 1/2 ";
  const std::string model = " --model m ", spectrum = "spectrum --data csv:d --loss mse" + model;
  for (const auto& [line, option] :
       std::vector<std::pair<std::string, std::string>>{{section + "--out s.csv", "--out"},
                                                        {section + "--out s.png", "--out"},
                                                        {section + "--out s.npz", "--out"},
                                                        {section + "--out s.shard", "--out"},
                                                        {section + "--out s.npy.gz", "--out"},
                                                        {shard + "--out s.npy", "--out"},
                                                        {section + "--out s.npy --png s.pdf", "--png"},
                                                        {section + "--out s.npy --png s.jpg", "--png"},
                                                        {section + "--out s.npy --vti s.vtk", "--vti"},
                                                        {"merge --out s.shard one", "--out"},
                                                        {"split --layer 1 --neuron 0 --out w.pt" + model, "--out"},
                                                        {"embed --layers 1,3,1 --out w.npy" + model, "--out"},
                                                        {spectrum + "--png s.svg", "--png"},
                                                        {spectrum + "--vectors v.csv", "--vectors"},
                                                        {"forecast --png s.pdf --data csv:d" + kLook + model, "--png"}})
    expect_refused(line, option, "expected a name that ends in .");
  run_well(section + "--out s.NPY --png s.Png --vti vti");
  run_well(shard + "--out 1.Shard");
  run_well(spectrum + "--png /dev/null --vectors .npy");
}

TEST_F(Outputs, LinksAreFollowedOrRefused) {
  const std::string section = kSection + "--model m --data csv:d ";
  for (const std::string& line : {section + "--out loop", section + "--out s.npy --png loop",
                                  std::string("split --model m --layer 1 --neuron 0 --out loop"),
                                  std::string("spectrum --model m --data csv:d --loss mse --png loop")})
    expect_refused(line, line.find("--png") == std::string::npos ? "--out" : "--png", "in a loop");
  fs::create_symlink("absent/there", path("farther"));
  expect_refused(section + "--out farther", "--out", "absent");
  for (const std::string& line : {section + "--out dangling", section + "--out s.npy --png dangling",
                                  std::string("split --model m --layer 1 --neuron 0 --out dangling"),
                                  std::string("forecast --model m --data csv:d --png dangling") + kLook}) {
    run_well(line);
    EXPECT_TRUE(fs::is_symlink(path("dangling"))) << line;
    EXPECT_TRUE(fs::exists(path("nowhere"))) << line;
    fs::remove(path("nowhere"));
  }
  for (const char* folder : {"dangling", "loop", "dangling/deeper"}) {
    const std::string find = "find --layers 1,1,1 --loss mse --starts 2 --data csv:d --out ";
    expect_refused(find + folder, "--out", "expected a folder");
  }
  fs::create_directory(path("points"));
  fs::create_symlink("elsewhere", path("points/critical_points.json"));
  run_well("find --layers 1,1,1 --loss mse --starts 2 --out points --data csv:d");
  EXPECT_TRUE(fs::is_symlink(path("points/critical_points.json")));
  EXPECT_NE(read_text(path("points/elsewhere")).find("critical_points"), std::string::npos);
}

// As another user of the folder would lay them out for names that can be guessed; exec keeps the shell's number.
// In folders of results nothing is written, or computed, before all files are known to be writable.
TEST_F(Outputs, FilesInAFolderAreLookedAtFirst) {
  const std::string fit = "fit --target demo --train glyphs:20 --hidden 2,4 --grid 3x3 --out r";
  const std::string find = "find --layers 1,1,1 --bias hidden --data tanh3 --loss mse --starts 1 --out r";
  const std::string figure = "reproduce czarnecki2019-fig1 --data glyphs:20 --out r";
  for (const auto& [line, file] : std::vector<std::pair<std::string, std::string>>{
           {fit, "report.json"}, {fit, "compare.png"}, {find, "critical_points.json"}, {find, "critical-1.safetensors"},
           {figure, "report.json"}}) {
    fs::create_directories(path("r") / file);
    EXPECT_NE(refused(line).find("--out: received r/" + file), std::string::npos) << line;
    fs::remove_all(path("r"));
    fs::create_directory(path("r"));
    fs::create_symlink(file, path("r") / file);
    EXPECT_NE(refused(line).find("--out: "), std::string::npos) << line;
    fs::remove_all(path("r"));
  }
}

TEST_F(Outputs, APipeThatNobodyReadsIsNotWaitedFor) {
  ASSERT_EQ(mkfifo(path("pipe.png").c_str(), 0600), 0);
  const Outcome outcome = run("spectrum --model m.safetensors --data tanh3 --loss mse --png pipe.png");
  EXPECT_EQ(outcome.status, 2);
  EXPECT_NE(outcome.err.find("which is a named pipe that nobody reads"), std::string::npos) << outcome.err;
}

TEST_F(Outputs, ALinksTargetEndsInWhatItIsToo) {
  fs::create_symlink("p.pdf", path("p.png"));
  EXPECT_NE(refused("spectrum --model m.safetensors --data tanh3 --loss mse --png p.png").find("p.pdf"),
            std::string::npos);
}

TEST_F(Outputs, LinksOfGuessableNamesAreNotWrittenThrough) {
  write_text(path("victim"), "precious");
  const std::string line =
      "cd " + path("").string() + " && mkdir points && for ending in .partial-$$ .partial .tmp-$$ .tmp '~'; do " +
      "ln -s ../victim points/critical_points.json$ending; done; exec env LOSSATLAS_CUDA_MODULE=/nonexistent " +
      testing::program_path() + " find --layers 1,1,1 --loss mse --starts 2 --data csv:d --out points >out 2>&1";
  EXPECT_EQ(std::system(line.c_str()), 0) << read_text(path("out"));
  EXPECT_NE(read_text(path("points/critical_points.json")).find("critical_points"), std::string::npos);
  EXPECT_EQ(read_text(path("victim")), "precious");
}

}  // namespace
}  // namespace lossatlas
