// The text of a chat template, before it is parsed.
#pragma once

#include <string>

#include "hypura/result.h"

namespace hypura {

// What was found in the text of a template.
struct TemplateSource {
  size_t names = 0;    // different ones
  size_t nesting = 0;  // how deep its syntax tree may be
};

// Reads the text as llama.cpp's parser would. Fails with kUsage when it is no template, or so large or so nested that
// the parser, which calls itself for each level, could end the process.
Result<TemplateSource> read_template_source(const std::string& text);

}  // namespace hypura
