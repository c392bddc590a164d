// Where the prompt comes from.
#pragma once

#include <istream>
#include <optional>
#include <string>

#include "cli/options/options.h"
#include "hypura/result.h"

namespace hypura {

// The prompt of --prompt, of --file, or of `input` when neither was given; without a byte order mark and the one line
// break that ends a file. Nothing when there is none to read: no flag, and `input` is a terminal. Fails with kIo when
// the file cannot be read, with kUsage when the prompt is empty, not UTF-8, or larger than any context.
Result<std::optional<std::string>> read_prompt(const RunOptions& options, std::istream& input, bool input_is_terminal);

}  // namespace hypura
