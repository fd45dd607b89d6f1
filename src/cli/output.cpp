#include "output.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <new>
#include <string>

#include <lossatlas/text.hpp>

namespace lossatlas::cli {
namespace {

int failure = 0;  // errno of the first write that failed

void write(std::string_view text) {
  errno = 0;
  if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size() && failure == 0) failure = errno;
}

}  // namespace

void print_line(const char* format, ...) {
  std::va_list arguments, again;
  va_start(arguments, format);
  va_copy(again, arguments);
  const int size = std::vsnprintf(nullptr, 0, format, again);
  va_end(again);
  std::string text;
  try {
    if (size < 0) throw std::bad_alloc();  // the only reason, as the formats are our own
    text.resize(static_cast<std::size_t>(size) + 1);
    std::vsnprintf(text.data(), text.size(), format, arguments);
    text.pop_back();
    text = one_line(text) + '\n';
  } catch (...) {
    va_end(arguments);
    throw;
  }
  va_end(arguments);
  write(text);
}

void print_lines(std::string_view text) {
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    write(one_line(line) + '\n');
    text.remove_prefix(std::min(text.size(), line.size() + 1));
  }
}

void print_text(std::string_view text) { write(text); }

void print_error(std::string_view text) {
  const std::string line = one_line(text) + '\n';
  std::fwrite(line.data(), 1, line.size(), stderr);
}

bool output_arrived() {
  errno = 0;
  if (std::fflush(stdout) != 0 && failure == 0) failure = errno;
  errno = failure;
  return failure == 0;
}

}  // namespace lossatlas::cli
