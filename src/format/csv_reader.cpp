#include "format/csv_reader.hpp"

namespace lossatlas {
namespace {

constexpr std::size_t kMostFields = std::size_t{1} << 20;  // an empty field is a byte in the file and 32 in memory

}  // namespace

CsvReader::CsvReader(std::string_view text, const FileContext& context) : text_(text), context_(context) {
  constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";
  if (text_.starts_with(kByteOrderMark)) position_ = kByteOrderMark.size();
}

bool CsvReader::at_line_end() const {
  return position_ >= text_.size() || text_[position_] == '\n' || text_[position_] == '\r';
}

void CsvReader::end_line() {
  if (position_ >= text_.size()) return;
  position_ += text_.substr(position_, 2) == "\r\n" ? 2 : 1;
  ++line_;
}

void CsvReader::skip_blanks() {
  while (position_ < text_.size() && (text_[position_] == ' ' || text_[position_] == '\t')) ++position_;
}

bool CsvReader::rest_is_empty() const {
  return text_.find_first_not_of(" \t\r\n", position_) == std::string_view::npos;
}

bool CsvReader::next(std::vector<std::string>& fields) {
  fields.clear();
  skip_blanks();
  if (at_line_end() && rest_is_empty()) return false;
  record_line_ = line_;
  while (true) {
    skip_blanks();
    context_.require(fields.size() < kMostFields, "with more than ", kMostFields, " fields on line ", record_line_,
                     ", expected fewer");
    fields.push_back(position_ < text_.size() && text_[position_] == '"' ? quoted_field() : plain_field());
    if (at_line_end()) break;
    ++position_;  // the comma
  }
  end_line();
  return true;
}

std::string CsvReader::quoted_field() {
  const std::int64_t start = line_;
  std::string field;
  ++position_;
  while (true) {
    context_.require(position_ < text_.size(), "with a quote that opens on line ", start,
                     " and never closes, expected \"");
    const char c = text_[position_++];
    if (c == '"') {
      if (position_ >= text_.size() || text_[position_] != '"') break;
      ++position_;
    }
    const bool pair = c == '\r' && position_ < text_.size() && text_[position_] == '\n';
    if (c == '\n' || (c == '\r' && !pair)) ++line_;
    field += c;
  }
  skip_blanks();
  context_.require(at_line_end() || text_[position_] == ',', "with text after a closing quote on line ", line_,
                   ", expected a comma or the end of the line; write a quote inside quotes twice");
  return field;
}

std::string CsvReader::plain_field() {
  const std::size_t begin = position_;
  while (!at_line_end() && text_[position_] != ',') {
    context_.require(text_[position_] != '"', "with a quote inside an unquoted field on line ", line_,
                     ", expected quotes around the whole field");
    ++position_;
  }
  std::size_t end = position_;
  while (end > begin && (text_[end - 1] == ' ' || text_[end - 1] == '\t')) --end;
  return std::string(text_.substr(begin, end - begin));
}

}  // namespace lossatlas
