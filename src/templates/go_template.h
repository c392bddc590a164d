// Ollama's prompt templates, which are Go's text/template, as chat templates in Jinja.
#pragma once

#include <string>
#include <string_view>

#include "hypura/result.h"

namespace hypura {

// A chat template in Jinja that writes a conversation as Ollama does by `text`:
//
// - A template that goes through .Messages is rendered once. Messages of one role in a row are one, but for results of
//   tools; .System is what all system messages say.
// - Any other is rendered for each turn, with its .System, .Prompt and .Response; for the last one, up to .Response.
//
// What is printed and is no text is JSON, as the client gave it. Fails with kUsage, the action and its place where
// something has no counterpart.
Result<std::string> go_template_to_jinja(std::string_view text);

// A template of either language as Jinja: what is no template of Go's stays as it is.
Result<std::string> template_as_jinja(const std::string& text);

}  // namespace hypura
