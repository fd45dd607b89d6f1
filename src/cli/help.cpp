#include "help.hpp"

#include <sstream>

namespace lossatlas::cli {

std::string HelpFormatter::make_option_desc(const CLI::Option* option) const {
  constexpr std::size_t kWidth = 80;
  std::istringstream words(CLI::Formatter::make_option_desc(option));
  words.exceptions(std::ios::badbit);
  std::string text;
  std::size_t length = 0;
  for (std::string word; words >> word;) {
    const bool fits = length + word.size() < kWidth;
    if (!text.empty()) text += fits ? ' ' : '\n';
    length = fits ? length + 1 + word.size() : word.size();
    text += word;
  }
  return text;
}

}  // namespace lossatlas::cli
