#include <lossatlas/text.hpp>

#include <string>

#include <gtest/gtest.h>
#include <lossatlas/error.hpp>
#include <lossatlas/network.hpp>

#include "base/check.hpp"
#include "file/file_context.hpp"

namespace lossatlas {
namespace {

TEST(OneLine, KeepsWhatIsReadable) {
  for (const char* text : {"", "plain \\ text", "Übung/größe.csv", "データ.npy", "α → β", "\U0001F600"}) {
    EXPECT_EQ(one_line(text), text);
  }
}

TEST(OneLine, EscapesWhatSteersATerminal) {
  EXPECT_EQ(one_line("a\x1b[31mb\a\t\r\n\x7f"), "a\\x1b[31mb\\x07\\x09\\x0d\\x0a\\x7f");
  EXPECT_EQ(one_line(std::string("a\0b", 3)), "a\\x00b");
  EXPECT_EQ(one_line("\u0085\u009b\u009d"), "\\xc2\\x85\\xc2\\x9b\\xc2\\x9d");
  EXPECT_EQ(one_line("\u202e\u2066\u200f\u2028\u061c"),
            "\\xe2\\x80\\xae\\xe2\\x81\\xa6\\xe2\\x80\\x8f\\xe2\\x80\\xa8\\xd8\\x9c");
}

TEST(OneLine, EscapesBytesThatAreNoUtf8) {
  for (const auto& [bytes, escaped] : {std::pair("\x9b", "\\x9b"),
                                       {"\xc3", "\\xc3"},
                                       {"\xc0\x9b", "\\xc0\\x9b"},
                                       {"\xe0\x82\x9b", "\\xe0\\x82\\x9b"},
                                       {"\xed\xa0\x80", "\\xed\\xa0\\x80"},
                                       {"\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80"},
                                       {"\xff", "\\xff"},
                                       {"\xe2\x82z", "\\xe2\\x82z"}}) {
    EXPECT_EQ(one_line(bytes), escaped);
  }
}

TEST(OneLine, LeavesOutTheMiddleOfLongText) {
  EXPECT_EQ(one_line(std::string(1000, 'x')), std::string(1000, 'x'));
  const std::string cut = one_line("start" + std::string(50'000'000, 'x') + "end");
  EXPECT_EQ(cut.size(), 1003u);
  EXPECT_TRUE(cut.starts_with("startx") && cut.ends_with("xend"));
  std::string umlauts;
  for (int i = 0; i < 1000; ++i) umlauts += "ü";
  EXPECT_EQ(one_line("a" + umlauts).find('\\'), std::string::npos) << "no character is cut in two";
}

TEST(OneLine, HoldsForMessagesAndPaths) {
  EXPECT_EQ(message("f", "received ", "\x1b]0;x\a"), "[f] received \\x1b]0;x\\x07");
  EXPECT_EQ(display("/a/ü\x9b"), "\"/a/ü\\x9b\"");
  EXPECT_EQ(printable("ü\n"), "\"ü\\x0a\"");
  try {
    parse_activation(std::string(1'000'000, '\x1b'));
    FAIL();
  } catch (const InvalidArgument& error) {
    const std::string text = error.what();
    EXPECT_LT(text.size(), 5000u);
    EXPECT_EQ(text.find('\x1b'), std::string::npos);
    EXPECT_NE(text.find("leaky_relu"), std::string::npos) << "what was expected: " << text;
  }
}

}  // namespace
}  // namespace lossatlas
