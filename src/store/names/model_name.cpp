#include "store/names/model_name.h"

#include <algorithm>
#include <array>
#include <optional>

#include "support/ascii.h"
#include "support/fail.h"

namespace hypura {
namespace {

constexpr size_t kMostText = 4096;  // of a name; longer than any path
constexpr size_t kMostPart = 128;   // of an organisation, a repository, a tag
constexpr std::string_view kLibrary = "library";
constexpr std::string_view kLatest = "latest";
constexpr std::string_view kOllamaSite = "ollama.com";

bool is_hugging_face(std::string_view host) {
  static constexpr std::array kHosts = {"hf.co", "huggingface.co", "www.huggingface.co"};
  return std::any_of(kHosts.begin(), kHosts.end(), [&](auto known) { return equal_ignoring_case(host, known); });
}

bool is_public_ollama(std::string_view host) {
  return equal_ignoring_case(host, kOllamaRegistry) || equal_ignoring_case(host, kOllamaSite) ||
         equal_ignoring_case(host, "www.ollama.com");
}

bool is_gguf(std::string_view text) {
  constexpr std::string_view kEnding = ".gguf";
  return text.size() > kEnding.size() && equal_ignoring_case(text.substr(text.size() - kEnding.size()), kEnding);
}

bool looks_like_file(std::string_view text) {
  return text.starts_with('.') || text.starts_with('/') || text.starts_with('~') || is_gguf(text);
}

// Letters, digits, '.', '_' and '-', not beginning with '.' or '-': so never "..", an option or a hidden file.
bool is_part(std::string_view text) {
  return !text.empty() && text.size() <= kMostPart && text.front() != '.' && text.front() != '-' &&
         text.find("..") == std::string_view::npos && std::all_of(text.begin(), text.end(), [](char c) {
           return is_ascii_alnum(c) || c == '.' || c == '_' || c == '-';
         });
}

std::vector<std::string> split(std::string_view text, char separator) {
  std::vector<std::string> parts;
  for (size_t at = 0; at <= text.size();) {
    const size_t end = std::min(text.find(separator, at), text.size());
    parts.emplace_back(text.substr(at, end - at));
    at = end + 1;
  }
  return parts;
}

// HOST or HOST:PORT, of letters, digits, '.' and '-'.
bool is_host(std::string_view text) {
  const size_t colon = text.find(':');
  const std::string_view host = text.substr(0, colon);
  const std::string_view port = colon == std::string_view::npos ? "1" : text.substr(colon + 1);
  return is_part(host) && !port.empty() && port.size() <= 5 && std::all_of(port.begin(), port.end(), is_ascii_digit);
}

auto no_name(std::string_view text, std::string_view why) {
  return fail(
      ErrorCode::kUsage,
      "'{}' is not the name of a model: {}; write a GGUF file, hf.co/ORG/REPO:QUANT, a name as qwen3:30b, or an "
      "address https://….gguf",
      text, why);
}

// A last part and what follows its colon; empty without one.
struct Tagged {
  std::string name;
  std::optional<std::string> tag;
};

Tagged tagged(const std::string& part) {
  const size_t colon = part.find(':');
  return colon == std::string::npos ? Tagged{part, {}} : Tagged{part.substr(0, colon), part.substr(colon + 1)};
}

// Nothing is wrong, or the sentence.
std::string complaint(const std::vector<std::string>& parts, const std::optional<std::string>& tag) {
  for (const std::string& part : parts) {
    if (!is_part(part)) {
      return part.empty() ? "a part of it is empty"
                          : fmt::format("'{}' has a character that no name has, or is too long", part);
    }
  }
  return tag && !is_part(*tag) ? fmt::format("'{}' behind the colon is no quantization or tag", *tag) : "";
}

Result<NameReading> hugging_face_name(std::string_view text, const std::vector<std::string>& parts) {
  if (parts.size() != 2) {
    return no_name(text, "a repository on Hugging Face is ORG/REPO");
  }
  const Tagged last = tagged(parts[1]);
  if (std::string wrong = complaint({parts[0], last.name}, last.tag); !wrong.empty()) {
    return no_name(text, wrong);
  }
  return HuggingFaceName{parts[0], last.name, last.tag.value_or(""), "", ""};
}

// `parts` of NAMESPACE/MODEL[:TAG] or MODEL[:TAG].
Result<NameReading> ollama_name(std::string_view text, std::string_view host, const std::vector<std::string>& parts) {
  if (parts.empty() || parts.size() > 2) {
    return no_name(text, "a model in a registry is HOST/NAMESPACE/MODEL:TAG");
  }
  const Tagged last = tagged(parts.back());
  const std::string space = parts.size() == 2 ? parts.front() : std::string(kLibrary);
  if (std::string wrong = complaint({space, last.name}, last.tag); !wrong.empty()) {
    return no_name(text, wrong);
  }
  return OllamaName{std::string(host), space, last.name, last.tag.value_or(std::string(kLatest))};
}

Result<ModelName> one(std::string_view text, Result<NameReading> reading) {
  if (!reading) {
    return propagate(reading.error());
  }
  return ModelName{std::string(text), {std::move(*reading)}};
}

// A/B or A/B:TAG. A quantization behind the colon or GGUF in the name tells Hugging Face, any other tag a registry.
Result<ModelName> two_parts(std::string_view text, const std::vector<std::string>& parts) {
  const Tagged last = tagged(parts[1]);
  const bool says_gguf = ascii_lower(last.name).find("gguf") != std::string::npos;
  if (says_gguf || (last.tag && is_quantization(*last.tag))) {
    return one(text, hugging_face_name(text, parts));
  }
  auto registry = ollama_name(text, kOllamaRegistry, parts);
  if (last.tag || !registry) {
    return one(text, registry);
  }
  return ModelName{std::string(text), {HuggingFaceName{parts[0], parts[1], "", "", ""}, std::move(*registry)}};
}

Result<ModelName> name_in_parts(std::string_view text, std::string_view name) {
  const std::vector<std::string> parts = split(name, '/');
  const std::vector<std::string> rest(parts.begin() + 1, parts.end());
  if (parts.size() == 1) {
    return one(text, ollama_name(text, kOllamaRegistry, parts));
  }
  if (is_hugging_face(parts[0])) {
    return one(text, hugging_face_name(text, rest));
  }
  if (is_public_ollama(parts[0])) {
    return one(text, ollama_name(text, kOllamaRegistry, rest));
  }
  const bool host = is_host(parts[0]) && (parts[0].find_first_of(".:") != std::string::npos || parts[0] == "localhost");
  if (parts.size() == 3 && host) {
    return one(text, ollama_name(text, ascii_lower(parts[0]), rest));
  }
  if (parts.size() == 2) {
    return two_parts(text, parts);
  }
  return no_name(text, parts.size() == 3 ? fmt::format("'{}' is no host", parts[0]) : "it has too many parts");
}

// The file in a repository that the parts of an address behind the host name: ORG/REPO/resolve/REVISION/FILE.
std::optional<HuggingFaceName> file_in_repository(const std::vector<std::string>& parts) {
  if (parts.size() < 5 || (parts[2] != "resolve" && parts[2] != "blob") || !is_gguf(parts.back()) ||
      !std::all_of(parts.begin(), parts.end(), is_part)) {
    return std::nullopt;
  }
  std::string file = parts[4];
  for (size_t i = 5; i < parts.size(); ++i) {
    file += "/" + parts[i];
  }
  return HuggingFaceName{parts[0], parts[1], "", parts[3], file};
}

bool is_loopback(std::string_view authority) {
  if (authority.starts_with("[::1]")) {
    return true;
  }
  const std::string_view host = authority.substr(0, authority.find(':'));
  return equal_ignoring_case(host, "localhost") ||
         (host.starts_with("127.") &&
          std::all_of(host.begin(), host.end(), [](char c) { return is_ascii_digit(c) || c == '.'; }));
}

Result<ModelName> address(std::string_view text, bool secure) {
  const std::string_view rest = text.substr(secure ? 8 : 7);
  const std::string_view authority = rest.substr(0, rest.find_first_of("/?#"));
  const std::string_view path = rest.substr(authority.size(), rest.find_first_of("?#") - authority.size());
  const bool odd = std::any_of(text.begin(), text.end(), [](char c) { return c <= ' ' || c == '\x7f' || c == '\\'; });
  if (authority.empty() || authority.find('@') != std::string_view::npos || odd) {
    return no_name(text, "its host is missing, or it has a user, a blank or a control character");
  }
  if (!secure && !is_loopback(authority)) {
    return no_name(text, "an address must begin with https://, so that nobody on the way can change the file");
  }
  const std::string_view tidy = path.ends_with('/') ? path.substr(0, path.size() - 1) : path;
  const std::vector<std::string> parts = split(tidy.empty() ? tidy : tidy.substr(1), '/');
  if (secure && is_hugging_face(authority)) {
    if (auto file = file_in_repository(parts)) {
      return one(text, *file);
    }
  }
  if (secure && !is_gguf(path) && (is_hugging_face(authority) || is_public_ollama(authority))) {
    return name_in_parts(text, std::string(authority) + std::string(tidy));
  }
  if (!is_gguf(path)) {
    return no_name(text, "an address must end in .gguf");
  }
  return one(text, AddressName{std::string(text)});
}

}  // namespace

Result<ModelName> read_model_name(std::string_view text, FilesAs files) {
  if (text.empty()) {
    return fail(ErrorCode::kUsage, "the name of the model is empty");
  }
  if (text.size() > kMostText || text.find('\0') != std::string_view::npos) {
    return fail(ErrorCode::kUsage, "the name of the model has {} bytes or a zero byte; the longest has {}", text.size(),
                kMostText);
  }
  const std::filesystem::path path(text);
  std::error_code ignored;
  const auto type =
      files == FilesAs::kNames ? std::filesystem::status(path, ignored).type() : std::filesystem::file_type::not_found;
  // A folder that happens to be called like a model is none.
  if (std::filesystem::exists(std::filesystem::file_status(type)) && type != std::filesystem::file_type::directory) {
    return one(text, FileName{path});
  }
  for (const bool secure : {true, false}) {
    if (text.starts_with(secure ? "https://" : "http://")) {
      return address(text, secure);
    }
  }
  if (looks_like_file(text)) {
    return files == FilesAs::kNames ? one(text, FileName{path})
                                    : no_name(text, "files of this machine cannot be named from elsewhere");
  }
  return name_in_parts(text, text);
}

Result<NameReading> only_reading(const ModelName& name) {
  if (name.readings.size() == 1) {
    return name.readings.front();
  }
  return fail(ErrorCode::kUsage,
              "'{}' may be a repository on Hugging Face or a model of an Ollama user; write {} or {}", name.text,
              text_of(name.readings.front()), text_of(name.readings.back()));
}

namespace {

std::string text_of_name(const FileName& file) {
  return file.path.string();
}

std::string text_of_name(const AddressName& address_name) {
  return address_name.url;
}

std::string text_of_name(const HuggingFaceName& name) {
  if (!name.file.empty()) {
    return fmt::format("https://huggingface.co/{}/{}/resolve/{}/{}", name.org, name.repo, name.revision, name.file);
  }
  return fmt::format("{}/{}/{}{}{}", kHuggingFaceHost, name.org, name.repo, name.quant.empty() ? "" : ":", name.quant);
}

std::string text_of_name(const OllamaName& name) {
  const std::string model = name.model + ":" + name.tag;
  if (name.host != kOllamaRegistry) {
    return fmt::format("{}/{}/{}", name.host, name.space, model);
  }
  return name.space == kLibrary ? model : fmt::format("{}/{}/{}", kOllamaSite, name.space, model);
}

}  // namespace

std::string text_of(const NameReading& reading) {
  return std::visit([](const auto& name) { return text_of_name(name); }, reading);
}

}  // namespace hypura
