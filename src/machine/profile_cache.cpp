#include "machine/profile_cache.h"

#include <fmt/format.h>

#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>

#include "machine/profile_json.h"
#include "support/atomic_file.h"
#include "support/fnv.h"

namespace hypura {

namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr int kFormat = 7;

Json fingerprint_to_json(const Fingerprint& fingerprint) {
  Json json = Json::object();
  for (const auto& [name, value] : fingerprint) {
    json[name] = value;
  }
  return json;
}

// "the kernel was 'a' and is 'b'" for the first thing that changed; empty when nothing did.
std::string difference(const Json& then, const Fingerprint& now) {
  for (const auto& [name, value] : now) {
    const auto found = then.find(name);
    if (found == then.end() || *found != value) {
      return found == then.end() || !found->is_string()
                 ? fmt::format("it does not say which {} it is for", name)
                 : fmt::format("{} was '{}' and is '{}'", name, found->get<std::string>(), value);
    }
  }
  return "";
}

}  // namespace

CachedProfile load_profile(const fs::path& file, const Fingerprint& fingerprint) {
  std::error_code error;
  if (!fs::is_regular_file(file, error)) {  // opening a pipe would wait for its writer
    return {};
  }
  std::ifstream in(file, std::ios::binary);
  if (!in) {
    return {};
  }
  const std::string text{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
  const auto refuse = [&](std::string_view why) {
    return CachedProfile{std::nullopt, fmt::format("the profile in '{}' {}", file.string(), why)};
  };
  const Json json = Json::parse(text, nullptr, false);
  if (!json.is_object() || !json.contains("format") || !json.contains("fingerprint") || !json.contains("profile")) {
    return refuse("is damaged");
  }
  if (json["format"] != kFormat) {
    return refuse("is from another version of Hypura");
  }
  if (const std::string changed = difference(json["fingerprint"], fingerprint); !changed.empty()) {
    return refuse("is out of date: " + changed);
  }
  auto profile = profile_from_json(json["profile"]);
  if (!profile) {
    return refuse(fmt::format("is damaged ({})", profile.error().message));
  }
  return {std::move(*profile), ""};
}

Status store_profile(const fs::path& file, const MachineProfile& profile, const Fingerprint& fingerprint) {
  const Json json = {
      {"format", kFormat}, {"fingerprint", fingerprint_to_json(fingerprint)}, {"profile", profile_to_json(profile)}};
  // Paths need not be UTF-8; JSON must be.
  return write_file_atomically(file, json.dump(1, ' ', false, Json::error_handler_t::replace) + "\n");
}

std::string profile_file_name(const std::string& host, const std::string& file_system, uint32_t threads) {
  return fmt::format("profile-{:016x}.json", fnv1a(fmt::format("{}\n{}\n{}", host, file_system, threads)));
}

}  // namespace hypura
