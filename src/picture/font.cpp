#include "picture/font.hpp"

#include <cmath>
#include <cstdint>
#include <locale>
#include <map>
#include <numbers>
#include <sstream>

namespace lossatlas {
namespace {

constexpr double kCapital = 14;    // font units per height of a capital letter
constexpr double kBearing = 1.55;  // empty space on either side of a character, in font units
constexpr double kScript = 0.66;   // size of superscripts and subscripts

struct Drawing {
  const char* text;  // the character, UTF-8
  double width;      // of its ink, in font units
  const char* path;
};

// A path: M x y moves the pen; L x y draws a line; Q cx cy x y a parabola with that control point; A cx cy rx ry a b an
// arc of an ellipse from angle a to b in degrees, joined to the pen; O is A with the pen lifted first.
constexpr Drawing kDrawings[] = {
    {" ", 2.6, ""},
    {"!", 0, "M0 14 L0 4.4 M0 0 L0 0.3"},
    {"\"", 3, "M0 14 L0 10.4 M3 14 L3 10.4"},
    {"#", 11, "M2.6 0.4 L4.8 13.6 M7 0.4 L9.2 13.6 M0.6 9.2 L11 9.2 M0 4.8 L10.4 4.8"},
    {"$", 9, "O4.5 10.4 4 3.4 30 270 A4.5 3.6 4.5 3.4 90 -150 M4.5 16 L4.5 -2"},
    {"%", 13, "O2.8 10.8 2.8 3.2 0 360 O10.2 3.2 2.8 3.2 0 360 M10.6 14 L2.4 0"},
    {"&", 11,
     "M11 0 L2.8 9.2 Q1.4 11 2.2 12.6 Q3.2 14 4.9 14 Q7.6 14 7.6 11.4 Q7.6 9.4 5 7.9 L3.2 6.9 Q0 5 0 3.4 "
     "Q0 0 4.2 0 Q8.6 0 10 6"},
    {"'", 0, "M0 14 L0 10.4"},
    {"(", 3.2, "M3.2 16 Q-3.2 6.5 3.2 -3"},
    {")", 3.2, "M0 16 Q6.4 6.5 0 -3"},
    {"*", 6.8, "M3.4 14 L3.4 7 M0.4 12.2 L6.4 8.8 M0.4 8.8 L6.4 12.2"},
    {"+", 8.6, "M4.3 2.6 L4.3 11.2 M0 6.9 L8.6 6.9"},
    {",", 0.8, "M0.8 0.6 L0 -2.6"},
    {"-", 4.6, "M0 5.6 L4.6 5.6"},
    {".", 0, "M0 0 L0 0.3"},
    {"/", 6.4, "M0 -2 L6.4 16"},
    {"0", 8.4, "O4.2 7 4.2 7 90 450"},
    {"1", 8.4, "M1.4 11.2 L5 14 L5 0"},
    {"2", 8.4, "O4.2 10 4 4 165 -35 L0.2 0 L8.4 0"},
    {"3", 8.4, "O4.1 10.7 3.6 3.3 150 -90 A4.1 3.7 4.2 3.7 90 -155"},
    {"4", 8.6, "M6.3 0 L6.3 14 L0 4 L8.6 4"},
    {"5", 8.4, "M7.6 14 L1.5 14 L0.8 7.7 A3.9 4.6 4.4 4.6 137 -150"},
    {"6", 8.4, "M6.4 14 Q0.1 10.4 0.1 4.5 A4.3 4.5 4.2 4.5 180 540"},
    {"7", 8.4, "M0.2 14 L8.2 14 L3 0"},
    {"8", 8.4, "O4.2 10.6 3.5 3.4 -90 270 O4.2 3.6 4.2 3.6 90 450"},
    {"9", 8.4, "M2 0 Q8.4 3.6 8.4 9.5 A4.2 9.5 4.2 4.5 0 360"},
    {":", 0, "M0 0 L0 0.3 M0 8.4 L0 8.7"},
    {";", 0.8, "M0.8 8.4 L0.8 8.7 M0.8 0.6 L0 -2.6"},
    {"<", 8.4, "M8.4 11.6 L0 6.9 L8.4 2.2"},
    {"=", 8.6, "M0 9 L8.6 9 M0 4.8 L8.6 4.8"},
    {">", 8.4, "M0 11.6 L8.4 6.9 L0 2.2"},
    {"?", 7.5, "O3.8 10.4 3.7 3.6 165 -45 Q3.8 6 3.8 4.4 M3.8 0 L3.8 0.3"},
    {"@", 14.8, "O7.4 5.6 3.4 3.6 0 360 M10.8 9.2 L10.8 4.2 Q10.8 2.2 12.6 2.2 Q14.8 2.4 14.8 6.2 A7.4 6 7.4 8 0 300"},
    {"A", 11, "M0 0 L5.5 14 L11 0 M1.9 4.8 L9.1 4.8"},
    {"B", 9, "M0 7.5 L5.2 7.5 A5.2 3.75 3.8 3.75 90 -90 L0 0 L0 14 L4.7 14 A4.7 10.75 3.3 3.25 90 -90"},
    {"C", 11, "O6.6 7 6.6 7 47 313"},
    {"D", 11, "M0 0 L0 14 L4 14 A4 7 7 7 90 -90 L0 0"},
    {"E", 8.2, "M8.2 0 L0 0 L0 14 L8.2 14 M0 7.3 L7.2 7.3"},
    {"F", 8, "M0 0 L0 14 L8 14 M0 7.3 L6.8 7.3"},
    {"G", 12.6, "O6.5 7 6.5 7 47 352 L12.9 6.6 L7.8 6.6"},
    {"H", 10.4, "M0 0 L0 14 M10.4 0 L10.4 14 M0 7.3 L10.4 7.3"},
    {"I", 0, "M0 0 L0 14"},
    {"J", 6, "M6 14 L6 3.4 A3 3.4 3 3.4 0 -155"},
    {"K", 9.6, "M0 0 L0 14 M9.2 14 L0 5 M3.5 8.4 L9.6 0"},
    {"L", 7.8, "M0 14 L0 0 L7.8 0"},
    {"M", 12.6, "M0 0 L0 14 L6.3 3 L12.6 14 L12.6 0"},
    {"N", 10.4, "M0 0 L0 14 L10.4 0 L10.4 14"},
    {"O", 13, "O6.5 7 6.5 7 90 450"},
    {"P", 8.6, "M0 0 L0 14 L4.8 14 A4.8 10.2 3.8 3.8 90 -90 L0 6.4"},
    {"Q", 13, "O6.5 7 6.5 7 90 450 M8.2 4 L12.8 -0.8"},
    {"R", 9.2, "M0 0 L0 14 L4.8 14 A4.8 10.2 3.8 3.8 90 -90 L0 6.4 M4.6 6.4 L9.2 0"},
    {"S", 9, "O4.5 10.6 4 3.4 30 270 A4.5 3.6 4.5 3.6 90 -150"},
    {"T", 10.4, "M0 14 L10.4 14 M5.2 14 L5.2 0"},
    {"U", 10.4, "M0 14 L0 5.2 A5.2 5.2 5.2 5.2 180 360 L10.4 14"},
    {"V", 11, "M0 14 L5.5 0 L11 14"},
    {"W", 15.4, "M0 14 L4 0 L7.7 14 L11.4 0 L15.4 14"},
    {"X", 9.8, "M0 0 L9.8 14 M0 14 L9.8 0"},
    {"Y", 10.4, "M0 14 L5.2 6.8 L10.4 14 M5.2 6.8 L5.2 0"},
    {"Z", 9.4, "M0 14 L9.4 14 L0 0 L9.4 0"},
    {"[", 3.2, "M3.2 16 L0 16 L0 -3 L3.2 -3"},
    {"\\", 6.4, "M0 16 L6.4 -2"},
    {"]", 3.2, "M0 16 L3.2 16 L3.2 -3 L0 -3"},
    {"^", 7.6, "M0 8.6 L3.8 14 L7.6 8.6"},
    {"_", 9, "M0 -2.6 L9 -2.6"},
    {"`", 2, "M0 14 L2 11.4"},
    {"a", 8.8, "M8.8 5 A4.5 5 4.5 5 0 360 M8.9 10 L8.9 0"},
    {"b", 8.9, "M0 14 L0 0 O4.5 5 4.5 5 180 540"},
    {"c", 7.8, "O4.7 5 4.7 5 47 313"},
    {"d", 8.9, "O4.5 5 4.5 5 0 360 M8.9 14 L8.9 0"},
    {"e", 9, "M0 5.2 L9 5.2 A4.5 5 4.5 5 2 318"},
    {"f", 5, "M5.2 14 L4.8 14 A4.8 11.2 2.8 2.8 90 180 L2 0 M0 10 L4.8 10"},
    {"g", 8.9, "O4.5 5 4.5 5 0 360 M8.9 10 L8.9 0 A4.6 0 4.3 4.3 0 -150"},
    {"h", 8, "M0 14 L0 0 M0 6 A4 6 4 4 180 0 L8 0"},
    {"i", 0, "M0 10 L0 0 M0 13.3 L0 13.7"},
    {"j", 2.4, "M2.4 10 L2.4 -1.8 A0 -1.8 2.4 2.4 0 -85 M2.4 13.3 L2.4 13.7"},
    {"k", 7.8, "M0 14 L0 0 M7.3 10 L0 3.6 M2.7 6 L7.8 0"},
    {"l", 0, "M0 14 L0 0"},
    {"m", 13.2, "M0 10 L0 0 M0 6.6 A3.3 6.6 3.3 3.4 180 0 L6.6 0 M6.6 6.6 A9.9 6.6 3.3 3.4 180 0 L13.2 0"},
    {"n", 8, "M0 10 L0 0 M0 6 A4 6 4 4 180 0 L8 0"},
    {"o", 9.2, "O4.6 5 4.6 5 90 450"},
    {"p", 8.9, "M0 10 L0 -4.4 O4.5 5 4.5 5 180 540"},
    {"q", 8.9, "O4.5 5 4.5 5 0 360 M8.9 10 L8.9 -4.4"},
    {"r", 4.8, "M0 10 L0 0 M0 5.8 A4 5.8 4 4.2 180 76"},
    {"s", 7.2, "O3.6 7.55 3.2 2.45 35 270 A3.6 2.55 3.6 2.55 90 -145"},
    {"t", 5.2, "M2 13 L2 2.8 A4.8 2.8 2.8 2.8 180 270 L5.2 0 M0 10 L5 10"},
    {"u", 8, "M0 10 L0 4 A4 4 4 4 180 360 M8 10 L8 0"},
    {"v", 8.4, "M0 10 L4.2 0 L8.4 10"},
    {"w", 12.4, "M0 10 L3.2 0 L6.2 10 L9.2 0 L12.4 10"},
    {"x", 7.8, "M0 0 L7.8 10 M0 10 L7.8 0"},
    {"y", 8.4, "M0 10 L4.2 0 M8.4 10 L2.4 -4.4"},
    {"z", 7.2, "M0 10 L7.2 10 L0 0 L7.2 0"},
    {"{", 4, "M4 16 Q1.8 16 1.8 13.6 L1.8 9 Q1.8 6.5 0 6.5 Q1.8 6.5 1.8 4 L1.8 -0.6 Q1.8 -3 4 -3"},
    {"|", 0, "M0 16 L0 -3"},
    {"}", 4, "M0 16 Q2.2 16 2.2 13.6 L2.2 9 Q2.2 6.5 4 6.5 Q2.2 6.5 2.2 4 L2.2 -0.6 Q2.2 -3 0 -3"},
    {"~", 9.2, "M0 6 Q2.2 9 4.6 7 Q7 5 9.2 8"},
    {"α", 10.2, "M9.2 10 Q7.4 0 4 0 Q0 0 0 5 Q0 10 4 10 Q6.8 10 7.6 3.6 Q8.1 0 10.2 0.2"},
    {"θ", 8, "O4 7 4 7 90 450 M0 7 L8 7"},
    {"σ", 10.2, "M10.4 10 L4.6 10 A4.6 5 4.6 5 90 450"},
    {"π", 9.6, "M0 10 L9.6 10 M2.6 10 L2.2 0 M7 10 L7 2 Q7 0 8.8 0"},
    {"λ", 8.6, "M0.6 14 Q2.4 14 3.2 11.4 L7 1.6 Q7.6 0 8.8 0 M4.2 8.4 L0 0"},
    {"δ", 8.6,
     "M7 12.6 Q5.6 14 3.8 14 Q1.2 13.8 2.4 11.6 L6.6 8.6 Q8.6 7 8.6 4.6 Q8.4 0 4.3 0 Q0 0 0 4.6 Q0.4 9 5 9.4"},
    {"Π", 10, "M0 0 L0 14 L10 14 L10 0"},
    {"½", 13, "M0.6 12.2 L3 14 L3 6.6 M10.6 14 L2.6 0 M8 5 Q8.2 7.2 10.3 7.2 Q12.6 7 12.4 5 Q12.2 3.8 8 0 L12.8 0"},
    {"Σ", 8.6, "M8.6 14 L0 14 L5 7.2 L0 0 L8.6 0"},
    {"×", 7.4, "M0 3.2 L7.4 10.6 M0 10.6 L7.4 3.2"},
    {"−", 8.6, "M0 6.9 L8.6 6.9"},
    {"±", 8.6, "M4.3 4.4 L4.3 12.4 M0 8.4 L8.6 8.4 M0 1 L8.6 1"},
    {"·", 0, "M0 6.6 L0 6.9"},
    {"–", 7.6, "M0 5.6 L7.6 5.6"},
    {"…", 8, "M0 0 L0 0.3 M4 0 L4 0.3 M8 0 L8 0.3"},
    {"≤", 8.4, "M8.4 13 L0 8.6 L8.4 4.2 M0 0.8 L8.4 0.8"},
    {"≥", 8.4, "M0 13 L8.4 8.6 L0 4.2 M0 0.8 L8.4 0.8"},
    {"→", 11.6, "M0 6.9 L11.6 6.9 M7.8 10.4 L11.6 6.9 L7.8 3.4"},
    {"∞", 14, "O3.4 6.9 3.4 3.4 60 300 Q6 4.6 7 6.9 Q8 9.2 9 9.8 O10.6 6.9 3.4 3.4 240 480 Q8 9.2 7 6.9 Q6 4.6 5.1 4"},
    {"°", 4.2, "O2.1 11.9 2.1 2.1 0 360"},
};
constexpr Drawing kBox{"\uFFFD", 8, "M0 0 L0 14 L8 14 L8 0 L0 0"};

void add_parabola(Polyline& line, Point control, Point end) {
  constexpr int kPieces = 10;
  const Point start = line.back();
  for (int k = 1; k <= kPieces; ++k) {
    const double t = static_cast<double>(k) / kPieces, u = 1 - t;
    line.push_back({u * u * start.x + 2 * u * t * control.x + t * t * end.x,
                    u * u * start.y + 2 * u * t * control.y + t * t * end.y});
  }
}

void add_arc(Polyline& line, Point centre, Point radius, double from, double to) {
  const int pieces = static_cast<int>(std::ceil(std::abs(to - from) / 11.25));
  for (int k = 0; k <= pieces; ++k) {
    const double angle = (from + (to - from) * k / pieces) * std::numbers::pi / 180;
    line.push_back({centre.x + radius.x * std::cos(angle), centre.y + radius.y * std::sin(angle)});
  }
}

Character read_path(const Drawing& drawing) {
  Character result;
  std::istringstream in(drawing.path);
  in.exceptions(std::ios::badbit);  // else running out of memory would cut the character short
  in.imbue(std::locale::classic());
  const auto point = [&in] {
    Point p;
    in >> p.x >> p.y;
    return p;
  };
  for (char command; in >> command;) {
    if (command == 'M' || command == 'O') result.strokes.emplace_back();
    Polyline& line = result.strokes.back();
    if (command == 'A' || command == 'O') {
      const Point centre = point(), radius = point(), angles = point();
      add_arc(line, centre, radius, angles.x, angles.y);
    } else if (command == 'Q') {
      const Point control = point();
      add_parabola(line, control, point());
    } else {
      line.push_back(point());
    }
  }
  result.width = drawing.width / kCapital;
  for (Polyline& line : result.strokes) {
    for (Point& p : line) p = {p.x / kCapital, p.y / kCapital};
  }
  return result;
}

Character script(const Character& normal, double raise) {
  Character result{normal.width * kScript, normal.strokes};
  for (Polyline& line : result.strokes) {
    for (Point& p : line) p = {p.x * kScript, p.y * kScript + raise};
  }
  return result;
}

using Table = std::map<char32_t, Character>;

void add_scripts(Table& table) {
  constexpr double kRaise = 0.5, kLower = -0.24;
  for (char32_t digit = 0; digit < 10; ++digit) {
    // Unicode keeps three of the superscripts apart from the others.
    const char32_t super = digit == 1 ? U'¹' : digit == 2 ? U'²' : digit == 3 ? U'³' : U'⁰' + digit;
    table.emplace(super, script(table.at(U'0' + digit), kRaise));
    table.emplace(U'₀' + digit, script(table.at(U'0' + digit), kLower));
  }
  table.emplace(U'⁻', script(table.at(U'−'), kRaise));
}

const Table& characters() {
  static const Table table = [] {
    Table result;
    for (const Drawing& drawing : kDrawings) result.emplace(decode_utf8(drawing.text).front(), read_path(drawing));
    result.emplace(U'\uFFFD', read_path(kBox));
    add_scripts(result);
    return result;
  }();
  return table;
}

}  // namespace

const Character& character(char32_t code) {
  const auto found = characters().find(code);
  return found != characters().end() ? found->second : characters().at(U'\uFFFD');
}

std::u32string decode_utf8(std::string_view text) {
  std::u32string result;
  for (std::size_t i = 0; i < text.size();) {
    const auto lead = static_cast<std::uint8_t>(text[i]);
    const std::size_t length = lead < 0x80 ? 1 : lead >> 5 == 6 ? 2 : lead >> 4 == 14 ? 3 : lead >> 3 == 30 ? 4 : 0;
    bool valid = length > 0 && i + length <= text.size();
    char32_t code = length > 1 ? lead & (0x7Fu >> length) : lead;
    for (std::size_t k = 1; valid && k < length; ++k) {
      const auto next = static_cast<std::uint8_t>(text[i + k]);
      valid = next >> 6 == 2;
      code = code << 6 | (next & 0x3Fu);
    }
    result.push_back(valid ? code : U'\uFFFD');
    i += valid ? length : 1;
  }
  return result;
}

double text_width(std::string_view text, double height) {
  double width = 0;
  for (const char32_t code : decode_utf8(text)) width += character(code).width + 2 * kBearing / kCapital;
  return width * height;
}

std::vector<Polyline> text_strokes(std::string_view text, double height) {
  std::vector<Polyline> result;
  double pen = 0;
  for (const char32_t code : decode_utf8(text)) {
    const Character& shape = character(code);
    pen += kBearing / kCapital;
    for (const Polyline& stroke : shape.strokes) {
      Polyline& line = result.emplace_back(stroke);
      for (Point& p : line) p = {(pen + p.x) * height, p.y * height};
    }
    pen += shape.width + kBearing / kCapital;
  }
  return result;
}

}  // namespace lossatlas
