// reproduce as a user meets it.
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <sstream>
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

class CliReproduce : public testing::ProgramTest {
 protected:
  Json json_of(const std::string& command) const {
    const Outcome outcome = run(command + " --json");
    EXPECT_EQ(outcome.status, 0) << command << "\n" << outcome.err;
    return outcome.status == 0 ? Json::parse(outcome.out) : Json::object();
  }
};

TEST_F(CliReproduce, ListsAndTabulates) {
  const Outcome list = run("reproduce");
  EXPECT_EQ(list.status, 0);
  EXPECT_NE(list.out.find("czarnecki2019-fig1"), std::string::npos);
  EXPECT_EQ(Json::parse(run("reproduce --json").out).size(), 4u);

  const Outcome outcome = run("reproduce czarnecki2019-fig3 --out figure3 --json");
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  const Json report = Json::parse(outcome.out);
  EXPECT_EQ(report, Json::parse(read_text(path("figure3/report.json"))));
  // Two classes of one half: the entropy is ln 2; of ten tenths, ln 10; targets ±1 have variance 1.
  std::vector<double> minima;
  for (const Json& entry : report["cases"]) minima.push_back(entry["sigma_min"]);
  EXPECT_NEAR(minima.at(0), 1, 1e-15);
  EXPECT_NEAR(minima.at(3), std::log(2.0), 1e-15);
  EXPECT_NEAR(minima.at(4), std::log(10.0), 1e-14);
  EXPECT_TRUE(testing::fs::exists(path("figure3/figure3-mse.png")) &&
              testing::fs::exists(path("figure3/figure3-ce.png")));

  std::istringstream table(read_text(path("figure3/figure3.csv")));
  std::string line;
  std::getline(table, line);
  EXPECT_EQ(line, "loss,case,s,sigma,derivative,inverse");
  std::getline(table, line);
  double s = 0, sigma = 0, slope = 0;
  ASSERT_EQ(std::sscanf(line.c_str(), "mse,\"balanced\",%lf,%lf,%lf", &s, &sigma, &slope), 3) << line;
  EXPECT_NEAR(sigma, s * s + 1, 1e-13);
  EXPECT_NEAR(slope, 2 * s, 1e-13);
}

TEST_F(CliReproduce, HasTheOneDimensionalSpectra) {
  const Json report = json_of("reproduce zhang2021-fig3a --out figure");
  EXPECT_TRUE(testing::fs::exists(path("figure/figure3a.png")));
  ASSERT_EQ(report.at("panels").size(), 3u);
  for (std::size_t i = 0; i < 3; ++i) {
    const Json& panel = report["panels"][i];
    const Inertia counted = inertia(panel.at("inertia"));
    EXPECT_NEAR(panel.at("loss"), 0.0698, 1e-4) << i;
    EXPECT_LE(panel.at("gradient_l1"), 1e-12) << i;
    EXPECT_EQ(counted, inertia(panel.at("predicted"))) << i;
    EXPECT_EQ(counted.negative, static_cast<std::int64_t>(i));
    EXPECT_EQ(counted.zero, static_cast<std::int64_t>(i));
    EXPECT_EQ(counted.size(), 3 * (static_cast<std::int64_t>(i) + 2));
    EXPECT_NE(panel.at("title").get<std::string>().find(std::to_string(counted.positive) + " positive"),
              std::string::npos);
    EXPECT_TRUE(testing::fs::exists(path("figure/width-" + std::to_string(i + 2) + ".safetensors")));
  }
}

TEST_F(CliReproduce, HasTheIrisSpectra) {
  const char* data = std::getenv("LOSSATLAS_DATA");
  if (data == nullptr || !testing::fs::exists(testing::fs::path(data) / "iris.csv")) {
    const Outcome outcome = run("reproduce zhang2021-fig3b --out figure --data csv:iris.csv");
    EXPECT_EQ(outcome.status, 2);
    GTEST_SKIP() << "LOSSATLAS_DATA does not name a folder with iris.csv";
  }
  const Json report = json_of("reproduce zhang2021-fig3b --out figure");
  EXPECT_TRUE(testing::fs::exists(path("figure/figure3b.png")));
  ASSERT_EQ(report.at("panels").size(), 3u);
  EXPECT_EQ(report.at("counts_as_in_paper"), true);
  EXPECT_EQ(report.at("critical_point").at("critical"), true);
  EXPECT_EQ(report.at("critical_point").at("finite"), true);
  const Inertia paper[] = {{12, 1, 3}, {17, 2, 5}, {22, 3, 7}};
  for (std::size_t i = 0; i < 3; ++i) {
    const Json& panel = report["panels"][i];
    EXPECT_LE(panel.at("gradient_l1"), 1e-12) << i;
    EXPECT_NEAR(panel.at("loss"), report["panels"][0].at("loss"), 1e-14) << i;
    EXPECT_EQ(inertia(panel.at("inertia")), paper[i]) << i;
    EXPECT_EQ(inertia(panel.at("predicted")), paper[i]) << i;
    EXPECT_EQ(inertia(panel.at("paper")), paper[i]) << i;
    const std::string title = panel.at("title");
    EXPECT_NE(title.find(i > 0 ? "(counts as in the paper)" : "(counts as in the paper; a point of width 1 in halves)"),
              std::string::npos)
        << title;
  }
}

TEST_F(CliReproduce, SaysWhereItsSpectraDifferFromThePapers) {
  // one input less than iris: 14 parameters cannot have the paper's 16 eigenvalues
  std::string table;
  const Dataset digits = glyphs(40, {.seed = 1});
  for (std::int64_t n = 0; n < digits.size(); ++n) {
    for (const std::size_t pixel : {300, 406, 518}) table += std::to_string(digits.input(n)[pixel]) + ",";
    table += std::to_string(digits.labels()[static_cast<std::size_t>(n)] % 3) + "\n";
  }
  write_text(path("other.csv"), table);
  const Json report = json_of("reproduce zhang2021-fig3b --out figure --data csv:other.csv,standardise");
  EXPECT_EQ(report.at("counts_as_in_paper"), false);
  for (std::size_t i = 0; i < 3; ++i) {
    const Json& panel = report["panels"][i];
    const std::string title = panel.at("title");
    EXPECT_NE(title.find("another critical point than the paper's: "), std::string::npos) << title;
    EXPECT_EQ(inertia(panel.at("inertia")), inertia(panel.at("predicted"))) << title;
  }
}

}  // namespace
}  // namespace lossatlas
