#include "cli/model_options.h"

#include <limits>
#include <string>
#include <utility>

#include "cli/number_option.h"
#include "support/units.h"

namespace hypura {

CLI::Option* add_model_option(CLI::App& command, std::filesystem::path& model) {
  return command.add_option("MODEL", model, "A GGUF file (left out: the demo model)")
      ->check([](const std::string& text) { return text.empty() ? std::string("the name is empty") : std::string(); })
      ->option_text(" ");
}

CLI::Option* add_memory_option(CLI::App& command, std::optional<uint64_t>& bytes) {
  const auto store = [&bytes](const std::string& text) {
    const auto size = parse_bytes(text);
    bytes = size ? std::optional(*size) : std::nullopt;
  };
  const auto complaint = [](const std::string& text) {
    return text == "auto" || parse_bytes(text) ? std::string()
                                               : "'" + text + "' is not a size; write it like 24M or 6G, or auto";
  };
  return command
      .add_option_function<std::string>("--memory", store, "Memory to stay within: 24M, 6G or auto (default auto)")
      ->check(complaint)
      ->option_text("SIZE");
}

void add_context_option(CLI::App& command, std::function<void(uint32_t)> set) {
  static const NumberRange kTokens{1, std::numeric_limits<int32_t>::max(), true, "a whole number of 1 or more"};
  add_number(command, "--context", "Tokens of context (default 4096, at most what the model knows)", kTokens,
             [set = std::move(set)](double value) { set(static_cast<uint32_t>(value)); });
}

}  // namespace hypura
