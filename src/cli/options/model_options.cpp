#include "cli/options/model_options.h"

#include <algorithm>
#include <fstream>
#include <limits>
#include <string>
#include <utility>

#include "cli/options/number_option.h"
#include "remote/worker_address.h"
#include "support/units.h"

namespace hypura {

std::string named(const std::string& text) {
  return text.empty() ? "the name is empty" : "";
}

CLI::Option* add_model_option(CLI::App& command, std::filesystem::path& model) {
  return command
      .add_option("MODEL", model, "GGUF file, or a name that `hypura list` shows (default: bundled demo model)")
      ->check(named)
      ->option_text(" ");
}

CLI::Option* add_models_folder_option(CLI::App& command, std::vector<std::filesystem::path>& folders) {
  const auto complaint = [](const std::string& text) {
    std::error_code unknown;
    return std::filesystem::is_directory(text, unknown) ? std::string() : "'" + text + "' is not a folder";
  };
  return command.add_option("--models", folders, "Folder with more models to find by name; repeatable")
      ->check(complaint)
      ->allow_extra_args(false)
      ->option_text("DIR");
}

namespace {

// Longer ones are refused by what reads templates.
constexpr size_t kMostTemplateBytes = 512 * kKiB;

// Nothing where it cannot be read. A pipe has no size, so it is read to its end or the limit.
std::optional<std::string> template_file(const std::string& name) {
  std::ifstream file(name, std::ios::binary);
  std::string text(kMostTemplateBytes, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  const auto count = static_cast<size_t>(file.gcount());
  text.resize(count);
  if (text.ends_with('\n')) {  // which editors put there
    text.resize(count - (text.ends_with("\r\n") ? 2 : 1));
  }
  return text.empty() || file.bad() ? std::nullopt : std::optional(std::move(text));
}

}  // namespace

CLI::Option* add_chat_template_option(CLI::App& command, std::string& text) {
  // The file is read once, for it may be a pipe.
  const auto read = [&text](const std::string& name) {
    auto of_file = template_file(name);
    text = of_file ? std::move(*of_file) : "";
    return of_file ? std::string() : "'" + name + "' cannot be read, or is empty";
  };
  return command
      .add_option_function<std::string>(
          "--chat-template", [](const std::string& /*name*/) {},
          "Write conversations by this template, not the model's own: Jinja, or one of Ollama's")
      ->check(read)
      ->option_text("FILE");
}

namespace {

CLI::Option* add_size_option(CLI::App& command, const char* flag, const char* description,
                             std::optional<uint64_t>& bytes) {
  const auto store = [&bytes](const std::string& text) {
    const auto size = parse_bytes(text);
    bytes = size ? std::optional(*size) : std::nullopt;
  };
  const auto complaint = [](const std::string& text) {
    return text == "auto" || parse_bytes(text) ? std::string()
                                               : "'" + text + "' is not a size; write it like 24M or 6G, or auto";
  };
  return command.add_option_function<std::string>(flag, store, description)->check(complaint)->option_text("SIZE");
}

std::string gpu_complaint(const std::string& text) {
  const bool blank = text.find_first_of(" \t") != std::string::npos;
  const bool gap = text.starts_with(',') || text.ends_with(',') || text.find(",,") != std::string::npos;
  return text.empty() || blank || gap
             ? "'" + text + "' is not the name of a GPU; `hypura devices` lists them; or auto, or none"
             : std::string();
}

}  // namespace

CLI::Option* add_memory_option(CLI::App& command, std::optional<uint64_t>& bytes) {
  return add_size_option(command, "--memory", "Memory budget: 24M, 6G or auto (default auto)", bytes);
}

CLI::Option* add_kv_disk_option(CLI::App& command, std::optional<uint64_t>& bytes) {
  const auto store = [&bytes](const std::string& text) {
    const auto size = parse_bytes(text);
    bytes = text == "0" ? std::optional<uint64_t>(0) : size ? std::optional(*size) : std::nullopt;
  };
  const auto complaint = [](const std::string& text) {
    return text == "0" || text == "auto" || parse_bytes(text)
               ? std::string()
               : "'" + text + "' is not a size; write it like 20G, 0 for none, or auto";
  };
  return command
      .add_option_function<std::string>("--kv-disk", store,
                                        "Disk for conversations and what was computed for them; 0: none (default auto: "
                                        "a tenth of what is free; with run 0)")
      ->check(complaint)
      ->option_text("SIZE");
}

namespace {

std::vector<std::string> parts_of(const std::string& text) {
  std::vector<std::string> parts;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find(',', begin), text.size());
    parts.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return parts;
}

std::string vram_complaint(const std::string& text) {
  for (const std::string& part : parts_of(text)) {
    if (text != "auto" && !parse_bytes(part)) {
      return "'" + part + "' is not a size; write it like 24M or 6G, 6G,12G for two GPUs, or auto";
    }
  }
  return {};
}

CLI::Option* add_vram_option(CLI::App& command, std::optional<uint64_t>& vram, std::vector<uint64_t>& each) {
  const auto store = [&vram, &each](const std::string& text) {
    vram.reset();
    each.clear();
    for (const std::string& part : text == "auto" ? std::vector<std::string>() : parts_of(text)) {
      each.push_back(parse_bytes(part).value_or(0));
    }
    if (each.size() == 1) {
      vram = each.front();
      each.clear();
    }
  };
  return command
      .add_option_function<std::string>("--vram", store, "Memory budget on each GPU: 6G, 6G,12G or auto (default auto)")
      ->check(vram_complaint)
      ->option_text("SIZE");
}

}  // namespace

void add_gpu_options(CLI::App& command, const GpuOptions& options, const char* group) {
  CLI::Option* name =
      command.add_option("--gpu", options.gpu, "GPUs to compute on: names, none or auto (default auto)")
          ->check(gpu_complaint)
          ->option_text("NAMES");
  CLI::Option* size = add_vram_option(command, options.vram, options.vram_each);
  CLI::Option* mixed =
      command.add_flag("--mixed-compute", options.mixed_compute, "Compute experts that VRAM lacks on the processors");
  for (CLI::Option* option : {name, size, mixed}) {
    if (group != nullptr) {
      option->group(group);
    }
  }
}

void add_context_option(CLI::App& command, std::function<void(uint32_t)> set) {
  static const NumberRange kTokens{1, std::numeric_limits<int32_t>::max(), true, "a whole number of 1 or more"};
  add_number(command, "--context", "Context length in tokens (default: what the budget allows)", kTokens,
             [set = std::move(set)](double value) { set(static_cast<uint32_t>(value)); });
}

void add_mirror_option(CLI::App& command, std::vector<std::filesystem::path>& mirrors, const char* group) {
  command.add_option("--mirror", mirrors, "Copy of the model on another disk, read in parallel; repeatable")
      ->check(named)
      ->allow_extra_args(false)  // the next word is none of its own
      ->option_text("PATH")
      ->group(group);
}

void add_worker_options(CLI::App& command, std::vector<std::string>& workers, WorkerSplit& split, const char* group) {
  const auto complaint = [](const std::string& text) {
    const auto address = parse_worker_address(text);
    return address ? std::string() : address.error().message;
  };
  CLI::Option* worker =
      command.add_option("--worker", workers, "Machine that runs `hypura worker` with this model, to help; repeatable")
          ->check(complaint)
          ->allow_extra_args(false)  // the next word is none of its own
          ->option_text("HOST:PORT");
  const auto set_split = [&split](const std::string& text) { split = parse_worker_split(text).value_or(split); };
  CLI::Option* what =
      command
          .add_option_function<std::string>(
              "--split", set_split,
              "What workers compute: experts (of a dense model feed-forward parts), layers, or auto: "
              "what pays (default auto)")
          ->check([](const std::string& text) {
            return parse_worker_split(text) ? std::string() : "'" + text + "' is not auto, experts or layers";
          })
          ->option_text("WHAT");
  for (CLI::Option* option : {worker, what}) {
    if (group != nullptr) {
      option->group(group);
    }
  }
}

void add_trust_option(CLI::App& command, bool& trust_network, const char* group) {
  CLI::Option* option = command.add_flag("--trust-network", trust_network,
                                         "Ask workers over a network too, without encryption or a password");
  if (group != nullptr) {
    option->group(group);
  }
}

void add_draft_options(CLI::App& command, DraftOptions& options, const char* group) {
  static const NumberRange kDraftTokens{1, kMostDraftTokens, true,
                                        "a whole number from 1 to 16; leave out the flag for as many as pay"};
  command.add_option("--draft", options.model, "Draft model: a small model of the same family, a GGUF file or a name")
      ->check(named)
      ->option_text("FILE")
      ->group(group);
  command.add_flag("--draft-ngrams", options.ngrams, "Draft by n-gram lookup")->group(group);
  command.add_flag("--draft-mtp", options.mtp, "Draft with the model's own MTP layers")->group(group);
  add_number(command, "--draft-tokens", "Tokens of each draft, 1 to 16, whether that pays or not (default: as pays)",
             kDraftTokens, [&options](double value) { options.tokens = static_cast<uint32_t>(value); });
  command.get_option("--draft-tokens")->group(group);
}

void add_threads_option(CLI::App& command, uint32_t& threads) {
  static const NumberRange kThreads{1, 1024, true,
                                    "a whole number from 1 to 1024; leave out the flag for the best known value"};
  add_number(command, "--threads", "Compute threads (default: best known for this machine)", kThreads,
             [&threads](double value) { threads = static_cast<uint32_t>(value); });
}

void add_engine_options(CLI::App& command, EngineOptions& options, std::function<void(uint32_t)> set_context,
                        const char* group) {
  add_memory_option(command, options.memory);
  add_gpu_options(command, {options.gpu, options.vram, options.vram_each, options.mixed_compute}, group);
  add_context_option(command, std::move(set_context));
  add_threads_option(command, options.threads);
  const auto set_kv_type = [&options](const std::string& text) {
    options.kv_type = parse_kv_type(text).value_or(options.kv_type);
  };
  command.add_option_function<std::string>("--kv-type", set_kv_type, "KV cache type: f16, q8_0 or auto (default f16)")
      ->check([](const std::string& text) {
        return parse_kv_type(text) ? std::string() : "'" + text + "' is not f16, q8_0 or auto";
      })
      ->option_text("TYPE");
  command.add_flag_callback(
      "--no-direct-io", [&options] { options.direct_io = false; }, "Read weights through the page cache");
  command.add_flag_callback(
      "--no-repack", [&options] { options.repack = false; }, "Do not repack weights for this processor");
  const auto ignore_copy = [&options] { options.repacked = false; };
  command.add_flag_callback("--no-repacked", ignore_copy, "Ignore a repacked copy of the model");
  command.add_flag_callback("--no-packed", ignore_copy)->group("");  // its name until 0.1
  add_mirror_option(command, options.mirrors, group);
  add_worker_options(command, options.workers, options.split, group);
  add_trust_option(command, options.trust_network, group);
  add_draft_options(command, options.draft, group);
  for (const char* flag :
       {"--memory", "--context", "--threads", "--kv-type", "--no-direct-io", "--no-repack", "--no-repacked"}) {
    command.get_option(flag)->group(group);
  }
}

}  // namespace hypura
