#include "store/fetch/fetch_settings.h"

#include <algorithm>
#include <fstream>
#include <utility>

#include "store/fetch/web_address.h"
#include "support/ascii.h"
#include "support/fail.h"

namespace hypura {

namespace {

constexpr size_t kLongestToken = 4096;

bool says_yes(const std::optional<std::string>& value) {
  const std::string lower = ascii_lower(value.value_or(""));
  return lower == "1" || lower == "on" || lower == "yes" || lower == "true";
}

std::filesystem::path token_file(const FetchEnvironment& environment) {
  if (const auto path = environment("HF_TOKEN_PATH"); path && !path->empty()) {
    return *path;
  }
  if (const auto home = environment("HF_HOME"); home && !home->empty()) {
    return std::filesystem::path(*home) / "token";
  }
  if (const auto caches = environment("XDG_CACHE_HOME"); caches && !caches->empty()) {
    return std::filesystem::path(*caches) / "huggingface" / "token";
  }
  const auto user = environment("HOME");
  return user && !user->empty() ? std::filesystem::path(*user) / ".cache" / "huggingface" / "token"
                                : std::filesystem::path();
}

std::string first_word(const std::string& text) {
  const size_t begin = text.find_first_not_of(" \t\r\n");
  return begin == std::string::npos ? "" : text.substr(begin, text.find_first_of(" \t\r\n", begin) - begin);
}

struct FoundToken {
  std::string token;
  std::string where;
};

FoundToken find_token(const FetchEnvironment& environment) {
  if (says_yes(environment("HF_HUB_DISABLE_IMPLICIT_TOKEN"))) {
    return {};
  }
  for (const char* variable : {"HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"}) {
    if (std::string token = first_word(environment(variable).value_or("")); !token.empty()) {
      return {std::move(token), variable};
    }
  }
  const std::filesystem::path path = token_file(environment);
  std::string text(kLongestToken + 1, '\0');
  std::ifstream file(path, std::ios::binary);
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<size_t>(file.gcount()));
  return {first_word(text), path.string()};
}

}  // namespace

Result<FetchSettings> fetch_settings(std::filesystem::path hub_cache, std::filesystem::path data,
                                     const FetchEnvironment& environment) {
  FetchSettings settings;
  settings.hub_cache = std::move(hub_cache);
  settings.data = std::move(data);
  settings.offline = says_yes(environment("HF_HUB_OFFLINE")) || says_yes(environment("TRANSFORMERS_OFFLINE"));
  if (std::string endpoint = environment("HF_ENDPOINT").value_or(""); !endpoint.empty()) {
    endpoint.erase(endpoint.find_last_not_of('/') + 1);
    if (origin_of(endpoint).empty()) {
      return fail(ErrorCode::kUsage, "HF_ENDPOINT '{}' is no address; write it like https://huggingface.co", endpoint);
    }
    settings.hub = std::move(endpoint);
  }
  FoundToken found = find_token(environment);
  const bool plain = std::all_of(found.token.begin(), found.token.end(), [](char c) { return c > ' ' && c < '\x7f'; });
  if (!plain || found.token.size() > kLongestToken) {
    return fail(ErrorCode::kUsage, "{} holds no token of Hugging Face: it has characters that none has, or is too long",
                found.where);
  }
  settings.hub_token = std::move(found.token);
  return settings;
}

}  // namespace hypura
