// What the environment and the machine say about fetching.
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>

#include "hypura/result.h"

namespace hypura {

struct FetchSettings {
  std::string hub = "https://huggingface.co";  // HF_ENDPOINT, without a slash at its end
  std::string hub_token;                       // empty: none
  bool offline = false;                        // HF_HUB_OFFLINE: nothing may be fetched
  std::filesystem::path hub_cache;             // Hugging Face's
  std::filesystem::path data;                  // Hypura's own (support/data_folder.h)
};

// An environment variable's value; nothing when it is not set.
using FetchEnvironment = std::function<std::optional<std::string>(const char* variable)>;

// Reads HF_ENDPOINT, HF_HUB_OFFLINE, HF_TOKEN and else the file that HF_TOKEN_PATH names, $HF_HOME/token or
// ~/.cache/huggingface/token, none of them with HF_HUB_DISABLE_IMPLICIT_TOKEN. Fails with kUsage when an endpoint is no
// address or a token no token, without telling it.
Result<FetchSettings> fetch_settings(std::filesystem::path hub_cache, std::filesystem::path data,
                                     const FetchEnvironment& environment);

}  // namespace hypura
