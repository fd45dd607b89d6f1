#include "section_file/run_header.hpp"

#include <cstring>
#include <span>
#include <string>

#include <gtest/gtest.h>

#include "file/checksum.hpp"

namespace lossatlas {
namespace {

constexpr std::string_view kMagic = "LOSSATLAS TEST 1";
const FileContext kContext{"run", "test"};

/// A header of this JSON, its length and checksum right.
std::string header_of(std::string json) {
  json.append((64 - (json.size() + 32) % 64) % 64, ' ');
  const auto word = [](std::uint64_t value) {
    std::string text(8, '\0');
    std::memcpy(text.data(), &value, 8);
    return text;
  };
  const std::string text = std::string(kMagic) + word(json.size()) + json;
  return text + word(Checksum().add(std::as_bytes(std::span(text))).value());
}

RunHeader some_header() {
  return {{{"model", "a \"model\"", UINT64_MAX}, {"data", "\xff\u009b", 0}},
          Grid({{-1, 0.1, 5}, {0, 1e-300, 3}}),
          2,
          3,
          7,
          4};
}

const std::string kJson =
    R"({"axes":[{"hi":0.1,"lo":-1.0,"points":5},{"hi":1e-300,"lo":0.0,"points":3}],"heads":2,"identity":[{"hash":18446744073709551615,"name":"model","text":"a \"model\""},{"hash":0,"name":"data","text":"\ufffd\u009b"}],"shard":3,"shards":7,"tile":4})";

TEST(RunHeader, IsTheJsonThatEarlierVersionsWrote) {
  EXPECT_TRUE(encode(some_header(), kMagic, kContext) == header_of(kJson));
}

TEST(RunHeader, ComesBack) {
  const auto decoded = decode_run_header(encode(some_header(), kMagic, kContext), kMagic, kContext);
  ASSERT_TRUE(decoded.has_value());
  const RunHeader& header = decoded->header;
  EXPECT_EQ(header.identity[0].hash, UINT64_MAX);
  EXPECT_EQ(header.identity[0].text, "a \"model\"");
  EXPECT_TRUE(header.grid == some_header().grid);
  EXPECT_EQ(header.heads, 2);
  EXPECT_EQ(header.shard, 3);
  EXPECT_EQ(header.shards, 7);
  EXPECT_EQ(header.tile_points, 4);
}

/// The JSON with one text in place of another.
std::string changed(const std::string& from, const std::string& to) {
  std::string json = kJson;
  const std::size_t at = json.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return json.replace(at, from.size(), to);
}

TEST(RunHeader, WithAnEntryOfAnotherKindIsRefused) {
  const std::pair<std::string, std::string> changes[] = {{R"("hash":0)", R"("hash":1e300)"},
                                                         {R"("hash":0)", R"("hash":0.0)"},
                                                         {R"("hash":0)", R"("hash":-1)"},
                                                         {R"("hash":0)", R"("hash":"0")"},
                                                         {R"("hash":0)", R"("hush":0)"},
                                                         {R"("heads":2)", R"("heads":1e300)"},
                                                         {R"("heads":2)", R"("heads":2.5)"},
                                                         {R"("shard":3)", R"("shard":-3)"},
                                                         {R"("shards":7)", R"("shards":true)"},
                                                         {R"("tile":4)", R"("tile":1e19)"},
                                                         {R"("tile":4)", R"("tile":18446744073709551615)"},
                                                         {R"("points":5)", R"("points":5.0)"},
                                                         {R"("points":5)", R"("points":null)"},
                                                         {R"("lo":-1.0)", R"("lo":"-1")"},
                                                         {R"("name":"data")", R"("name":7)"},
                                                         {R"("identity":[)", R"("identity":[3,)"}};
  for (const auto& [from, to] : changes) {
    EXPECT_THROW(decode_run_header(header_of(changed(from, to)), kMagic, kContext), FileError) << to;
  }
}

}  // namespace
}  // namespace lossatlas
