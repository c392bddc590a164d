#include "templates/template_refusal.h"

#include <cctype>

namespace hypura {

namespace {

// Takes off what comes before the end of the first `mark`.
void skip_past(std::string_view& text, std::string_view mark) {
  const size_t at = text.find(mark);
  text.remove_prefix(at == std::string_view::npos ? 0 : at + mark.size());
}

}  // namespace

std::string refused_rule(std::string_view report) {
  constexpr size_t kLongest = 400;
  skip_past(report, "^\nError: ");  // before it come the place in the template and its source
  skip_past(report, "Automatic parser generation failed: ");
  skip_past(report, "Jinja Exception: ");
  report = report.substr(0, report.find("\n------------\n"));
  std::string rule;
  for (const char c : report) {
    const bool space = std::isspace(static_cast<unsigned char>(c)) != 0;
    if (!space || (!rule.empty() && rule.back() != ' ')) {
      rule += space ? ' ' : c;
    }
  }
  if (rule.size() > kLongest) {
    size_t end = kLongest;
    while (end > 0 && (static_cast<unsigned char>(rule[end]) & 0xC0U) == 0x80U) {
      --end;  // not within a character
    }
    rule.resize(end);
    rule += "…";
  }
  while (!rule.empty() && (rule.back() == ' ' || rule.back() == '.')) {
    rule.pop_back();
  }
  return rule;
}

}  // namespace hypura
