// What the first line of a table is, what is missing in it, and which classes its targets are.
#include <algorithm>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <lossatlas/dataset_io.hpp>

#include "expect_error.hpp"
#include "sample_files.hpp"

namespace lossatlas {
namespace {

using namespace testing;

using Values = std::vector<double>;
using Labels = std::vector<std::int32_t>;
using Names = std::vector<std::string>;

Values inputs(const Dataset& data) { return {data.inputs().begin(), data.inputs().end()}; }
Values targets(const Dataset& data) { return {data.targets().begin(), data.targets().end()}; }
Labels labels(const Dataset& data) { return {data.labels().begin(), data.labels().end()}; }

class CsvTables : public ::testing::Test {
 protected:
  Dataset csv(const std::string& text, CsvOptions options = {}) {
    return read_csv(folder_.file("t.csv", text), std::move(options));
  }

  TemporaryFolder folder_;
};

TEST_F(CsvTables, MissingValuesNeverMakeAHeader) {
  for (const std::string token : {"", "?", "NA", "na", "N/A", "n/a", "NaN", "nan", "NULL", "null", "None", "<NA>"}) {
    const std::string rest = "2,1,1\n3,1,0\n4,0,1\n";
    EXPECT_ERROR(csv("1," + token + ",0\n" + rest), FileError, "\"" + token + "\", on line 1, column 2") << token;
    EXPECT_ERROR(csv(token + ",1,0\n" + rest), FileError, "on line 1, column 1") << token;
    EXPECT_ERROR(csv("1,1," + token + "\n" + rest), FileError, "on line 1, column 3") << token;
    EXPECT_ERROR(csv("a,b,c\n1,1,0\n1," + token + ",1\n"), FileError, "on line 3, column 2") << token;
    EXPECT_ERROR(csv("a,b,c\n1,1,x\n1,1," + token + "\n"), FileError, "on line 3, column 3") << token;
    EXPECT_EQ(csv(token + ",a,b\n1,1,0\n").size(), 1) << token << ": a header with one name left out";
  }
}

TEST_F(CsvTables, AMalformedFirstLineIsNoHeader) {
  const std::string rest = "2,1,1\n3,1,0\n4,0,1\n";
  for (const std::string field : {"2x", "1.2.3", "1e", "--1", "unknown", "#REF!", "5%"}) {
    EXPECT_ERROR(csv("1," + field + ",0\n" + rest), FileError, "header=yes or header=no") << field;
    EXPECT_ERROR(csv("1," + field + ",0\n" + rest, {.header = false}), FileError, "on line 1, column 2") << field;
    EXPECT_EQ(csv("1," + field + ",0\n" + rest, {.header = true}).size(), 3) << field;
  }
  EXPECT_ERROR(csv("2x,0\n1,1\n2,0\n"), FileError, "header=yes or header=no");
  EXPECT_ERROR(csv("150,4,setosa,versicolor,virginica\n5,3,1,0,0\n"), FileError, "header=yes or header=no");
}

TEST_F(CsvTables, TextBelowTextIsNoHeader) {
  EXPECT_ERROR(csv("red,1,a\nblue,2,b\n"), FileError, "\"blue\" on line 2, column 1 and \"red\" on line 1");
  EXPECT_ERROR(csv("x,y\n1,2\noops,3\n"), FileError, "\"oops\" on line 3, column 1 and \"x\" on line 1");
  EXPECT_ERROR(csv("x,y\n1,2\noops,3\n", {.header = true}), FileError, "\"oops\" on line 3, column 1, expected");
}

TEST_F(CsvTables, AHeaderOfNumbersIsAskedFor) {
  const std::string frame = "0,1\n5,5\n7,7\n";
  EXPECT_ERROR(csv(frame), FileError, "header=yes or header=no");
  EXPECT_EQ(targets(csv(frame, {.header = true})), (Values{5, 7}));
  EXPECT_EQ(targets(csv(frame, {.header = false})), (Values{1, 5, 7}));
  EXPECT_ERROR(csv("0,1,2,3\n1,2,3,4\n"), FileError, "header=yes or header=no");
  EXPECT_EQ(csv("0,1,3\n1,2,3\n").size(), 2);
  EXPECT_EQ(csv("0,1,0.5\n1,2,3\n").size(), 2);
  // Columns that are only numbered, beside a target with a name.
  EXPECT_ERROR(csv("0,1,species\n5,3,rose\n6,3,lily\n"), FileError, "\"species\" in the target's column 3");
  EXPECT_ERROR(csv("5,6,species\n5,3,0\n6,3,1\n"), FileError, "where the others have numbers");
  EXPECT_EQ(csv("0,1,true\n0,0,false\n1,0,true\n").size(), 3) << "a label that occurs again is none";
}

TEST_F(CsvTables, TheTargetIsFoundInAHeaderOfNumbers) {
  const std::string years = "2019,2020,2021\n1,2,3.5\n4,5,6.5\n";
  EXPECT_EQ(targets(csv(years, {.target = "2020", .header = true})), (Values{2, 5}));
  EXPECT_EQ(targets(csv(years, {.target = "1", .header = true})), (Values{2, 5}));
  EXPECT_EQ(inputs(csv("0,1\n5,6\n7,8\n", {.target = "0", .header = true})), (Values{6, 8}));
  EXPECT_ERROR(csv(years, {.target = "2020"}), FileError, "say header=yes");
  EXPECT_ERROR(csv(years, {.target = "2020", .header = false}), FileError, "a number from 0 to 2");
}

TEST_F(CsvTables, NamesTheColumnsFromOne) {
  EXPECT_ERROR(csv("1,2\nx,2\n"), FileError, "\"x\" on line 2, column 1");
  EXPECT_ERROR(csv("1,2\n1e999,2\n"), FileError, "\"1e999\" on line 2, column 1");
  EXPECT_ERROR(csv("1,2\n1,inf\n"), FileError, "\"inf\" on line 2, column 2");
  EXPECT_ERROR(csv("1,\"a\rb\"\r2,\"c\"x\r"), FileError, "on line 3") << "lines that end in CR";
}

TEST_F(CsvTables, TinyNumbersAreZero) {
  EXPECT_EQ(inputs(csv("1e-400,1.5\n-1e-400,2.5\n4.9e-324,3.5\n")), (Values{0, 0, 4.9e-324}));
  EXPECT_EQ(targets(csv("1,1e-400\n2,0.5\n")), (Values{0, 0.5}));
}

TEST_F(CsvTables, RefusesLinesOfMillionsOfFields) {
  EXPECT_ERROR(csv(std::string((1 << 20) + 5, ',')), FileError, "more than 1048576 fields on line 1");
}

TEST_F(CsvTables, ClassesFixListAndOrder) {
  const std::string text = "5,pear\n6,apple\n7,pear\n";
  EXPECT_EQ(labels(csv(text)), (Labels{1, 0, 1}));
  EXPECT_EQ(csv(text).class_names(), (Names{"apple", "pear"}));
  const Dataset given = csv(text, {.classes = {"pear", "plum", "apple"}});
  EXPECT_EQ(labels(given), (Labels{0, 2, 0}));
  EXPECT_EQ(given.outputs(), 3);
  EXPECT_EQ(given.class_names(), (Names{"pear", "plum", "apple"}));
  EXPECT_ERROR(csv(text, {.classes = {"pear"}}), FileError,
               "the label \"apple\" on line 2, column 2, expected one of the classes \"pear\"");
  EXPECT_EQ(labels(csv("5,1\n6,2.0\n7,3\n", {.classes = {"1", "2", "3"}})), (Labels{0, 1, 2})) << "numbers by value";
  EXPECT_EQ(labels(csv("5,NA\n6,EU\n", {.classes = {"EU", "NA"}})), (Labels{1, 0})) << "a listed name isn't missing";
  EXPECT_ERROR(csv(text, {.classes = {"a", "a"}}), InvalidArgument, "\"a\" twice");
  EXPECT_ERROR(csv(text, {.classes = {"1", "1.0"}}), InvalidArgument, "\"1.0\" twice");
  EXPECT_ERROR(csv(text, {.classes = {"a", ""}}), InvalidArgument, "expected different names");
  EXPECT_ERROR(csv(text, {.classes = {"a"}, .real = true}), InvalidArgument, "expected one of them");
}

TEST_F(CsvTables, ABrokenSampleIsNoHeader) {
  for (const std::string broken : {"O.5,yes", "1.2.3,yes", "-,yes", "0x1,no"}) {
    EXPECT_ERROR(csv(broken + "\n1,yes\n2,no\n3,yes\n"), FileError, "say header=yes or header=no") << broken;
  }
  EXPECT_ERROR(csv("O.5,?,yes\n1,1,yes\n2,3,no\n"), FileError, "say header=yes or header=no");
  EXPECT_EQ(csv(",width,kind\n1,1,yes\n2,3,no\n").size(), 2) << "the column of numbers that pandas writes has no name";
  EXPECT_EQ(csv("O.5,yes\n1,yes\n2,no\n", {.header = true}).size(), 2);
}

TEST_F(CsvTables, NumbersThatAreNotFiniteAreNoLabels) {
  for (const std::string value : {"inf", "-inf", "Infinity", "-nan", "+nan", "nan(1)", "1e999"}) {
    EXPECT_ERROR(csv("1,yes\n2," + value + "\n3,yes\n"), FileError, "on line 2, column 2") << value;
    EXPECT_EQ(labels(csv("1,yes\n2," + value + "\n", {.classes = {value, "yes"}})), (Labels{1, 0})) << value;
  }
}

TEST_F(CsvTables, RealTargetsOnRequest) {
  const std::string text = "0,0,0\n0,1,1\n1,0,1\n1,1,0\n";
  EXPECT_TRUE(csv(text).has_labels());
  EXPECT_EQ(targets(csv(text, {.real = true})), (Values{0, 1, 1, 0}));
  EXPECT_ERROR(csv("1,a\n2,b\n", {.real = true}), FileError, "\"a\" on line 1, column 2, expected a real number");
}

TEST_F(CsvTables, DescriptionsTakeEveryOption) {
  const std::string text = "0,1\n5,pear\n7,\"a, \"\"b\"\"\"\n";
  const std::string table = "csv:" + folder_.file("t.csv", text).string();
  EXPECT_EQ(labels(read_dataset(table + ",header=yes")), (Labels{1, 0}));
  EXPECT_EQ(labels(read_dataset(table + ",header=yes,classes=pear,\"a, \"\"b\"\"\"")), (Labels{0, 1}));
  EXPECT_EQ(labels(read_dataset(table + ",classes=pear,\"a, \"\"b\"\"\",header=yes@1:2")), (Labels{1}));
  const Dataset scaled = read_dataset(table + ",target=1,classes=\"a, \"\"b\"\"\",pear,standardise,header=yes");
  EXPECT_EQ(inputs(scaled), (Values{-1, 1}));
  EXPECT_EQ(scaled.class_names(), (Names{"a, \"b\"", "pear"}));
  EXPECT_EQ(scaled.slice(0, 1).class_names().size(), 2u);
  for (const std::string options : {",header=maybe", ",header=yes,header=no", ",classes=", ",classes=a,,b",
                                    ",classes=\"a", ",real,real", ",", ",classes=a,classes=b"}) {
    EXPECT_ERROR(read_dataset(table + options), InvalidArgument, "[read_dataset] received \"") << options;
  }
  EXPECT_ERROR(read_dataset(table + ",real,classes=a,b"), InvalidArgument, "expected one of them");
}

TEST_F(CsvTables, OtherFilesOfAModelTakeItsClasses) {
  const std::string table = "csv:" + folder_.file("t.csv", "5,b\n6,c\n").string();
  const Dataset like = csv("1,a\n2,b\n3,c\n4,a\n");
  folder_.file("t.csv", "5,b\n6,c\n");
  EXPECT_EQ(labels(read_dataset(table, like)), (Labels{1, 2}));
  EXPECT_EQ(read_dataset(table + "@0:1", like).outputs(), 3);
  EXPECT_EQ(labels(read_dataset(table + ",classes=a,b,c", like)), (Labels{1, 2}));
  EXPECT_ERROR(read_dataset(table + ",classes=b,c", like), InvalidArgument, "of the data the model is made for");
  folder_.file("t.csv", "5,b\n6,d\n");
  EXPECT_ERROR(read_dataset(table, like), FileError, "the label \"d\" on line 2, column 2");
  folder_.file("t.csv", "5,0\n6,2\n7,2\n");
  const Dataset numbered = csv("1,0\n2,1\n3,2\n4,0\n");
  folder_.file("t.csv", "5,0\n6,2\n7,2\n");
  EXPECT_EQ(labels(read_dataset(table, numbered)), (Labels{0, 2, 2}));
  EXPECT_ERROR(read_dataset(table + ",real", numbered), InvalidArgument, "\"real\" in");
  EXPECT_EQ(targets(read_dataset(table, tanh3())), (Values{0, 2, 2})) << "real, as those of the model's data";
  EXPECT_ERROR(read_dataset("tanh3", like), InvalidArgument, "with real targets, expected labels");
  EXPECT_ERROR(read_dataset("glyphs:100", like), InvalidArgument, "labels start at 0");
  EXPECT_EQ(read_dataset("glyphs:3", glyphs(100)).outputs(), 10);
  // Two names, and a third class that has none: none is made up, which could be one of the two.
  folder_.file("t.csv", "5,1\n6,2\n");
  const Dataset two_names = Dataset::classification({1, 2}, 1, {0, 1}, 2).with_class_names({"1", "2"}).with_classes(3);
  EXPECT_EQ(labels(read_dataset(table, two_names)), (Labels{0, 1}));
  EXPECT_EQ(read_dataset(table, two_names).outputs(), 3);
}

}  // namespace
}  // namespace lossatlas
