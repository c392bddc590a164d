#include "cli/model_options.h"

#include <limits>
#include <string>
#include <utility>

#include "cli/number_option.h"
#include "support/units.h"

namespace hypura {

std::string named(const std::string& text) {
  return text.empty() ? "the name is empty" : "";
}

CLI::Option* add_model_option(CLI::App& command, std::filesystem::path& model) {
  return command.add_option("MODEL", model, "A GGUF file (left out: the demo model)")->check(named)->option_text(" ");
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
  add_number(command, "--context", "Tokens of context (default: what the memory affords, as the model knows)", kTokens,
             [set = std::move(set)](double value) { set(static_cast<uint32_t>(value)); });
}

void add_mirror_option(CLI::App& command, std::vector<std::filesystem::path>& mirrors, const char* group) {
  command.add_option("--mirror", mirrors, "A copy of the model on another disk, read as well; may be repeated")
      ->check(named)
      ->allow_extra_args(false)  // the next word is none of its own
      ->option_text("PATH")
      ->group(group);
}

void add_draft_options(CLI::App& command, DraftOptions& options, const char* group) {
  command.add_option("--draft", options.model, "A small GGUF of the same family that drafts tokens ahead")
      ->check(named)
      ->option_text("FILE")
      ->group(group);
  command.add_flag("--draft-ngrams", options.ngrams, "Draft what followed the same few tokens before")->group(group);
  command.add_flag("--draft-mtp", options.mtp, "Draft by the model's own layers for that, where it has some")
      ->group(group);
}

void add_engine_options(CLI::App& command, EngineOptions& options, std::function<void(uint32_t)> set_context,
                        const char* group) {
  static const NumberRange kThreads{1, 1024, true,
                                    "a whole number from 1 to 1024; leave the flag out for the best known"};
  add_memory_option(command, options.memory);
  add_context_option(command, std::move(set_context));
  add_number(command, "--threads", "Compute threads (default: the best known for this machine)", kThreads,
             [&options](double value) { options.threads = static_cast<uint32_t>(value); });
  command.add_option("--kv-type", options.kv_type, "Context's numbers: f16, q8_0 or auto (default f16)")
      ->check([](const std::string& text) {
        return text == "f16" || text == "q8_0" || text == "auto" ? std::string()
                                                                 : "'" + text + "' is not f16, q8_0 or auto";
      })
      ->option_text("TYPE");
  command.add_flag_callback(
      "--no-direct-io", [&options] { options.direct_io = false; }, "Read through the operating system's page cache");
  command.add_flag_callback(
      "--no-repack", [&options] { options.repack = false; }, "Compute with weights as they are in the file");
  command.add_flag_callback(
      "--no-packed", [&options] { options.packed = false; }, "Leave a packed copy of the model alone");
  add_mirror_option(command, options.mirrors, group);
  add_draft_options(command, options.draft, group);
  for (const char* flag :
       {"--memory", "--context", "--threads", "--kv-type", "--no-direct-io", "--no-repack", "--no-packed"}) {
    command.get_option(flag)->group(group);
  }
}

}  // namespace hypura
