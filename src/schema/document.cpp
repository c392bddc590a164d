#include "schema/document.h"

#include <algorithm>
#include <optional>

namespace hypura::schema {

namespace {

std::string text_of(const Json& schema, const char* keyword) {
  const auto found = schema.find(keyword);
  return found != schema.end() && found->is_string() ? found->get<std::string>() : "";
}

// Without an empty fragment.
std::string stripped(std::string id) {
  if (!id.empty() && id.back() == '#') {
    id.pop_back();
  }
  return id;
}

// `reference`, which may be relative, as seen from `base`.
std::string absolute(const std::string& base, const std::string& reference) {
  const size_t colon = reference.find(':');
  if (colon != std::string::npos && reference.find_first_of("/?#") > colon) {
    return reference;
  }
  const size_t scheme = base.find("://");
  if (!reference.empty() && reference[0] == '/' && scheme != std::string::npos) {
    return base.substr(0, base.find('/', scheme + 3)) + reference;
  }
  const size_t slash = base.rfind('/');
  return slash == std::string::npos ? reference : base.substr(0, slash + 1) + reference;
}

std::optional<std::string> percent_decoded(const std::string& text) {
  std::string plain;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      plain += text[i];
      continue;
    }
    const std::string hex = text.substr(i + 1, 2);
    if (hex.size() != 2 || hex.find_first_not_of("0123456789abcdefABCDEF") != std::string::npos) {
      return std::nullopt;
    }
    plain += static_cast<char>(std::stoi(hex, nullptr, 16));
    i += 2;
  }
  return plain;
}

// One step of a JSON pointer: "~1" is "/", "~0" is "~".
std::string unescaped(const std::string& step) {
  std::string plain;
  for (size_t i = 0; i < step.size(); ++i) {
    const bool escape = step[i] == '~' && i + 1 < step.size() && (step[i + 1] == '0' || step[i + 1] == '1');
    plain += !escape ? step[i] : step[i + 1] == '1' ? '/' : '~';
    i += escape ? 1 : 0;
  }
  return plain;
}

const Json* step_into(const Json& part, const std::string& step) {
  if (part.is_object()) {
    const auto found = part.find(step);
    return found == part.end() ? nullptr : &*found;
  }
  const bool index = part.is_array() && !step.empty() && step.size() < 8 &&
                     std::all_of(step.begin(), step.end(), [](char c) { return c >= '0' && c <= '9'; });
  const size_t i = index ? std::stoul(step) : 0;
  return index && i < part.size() ? &part[i] : nullptr;
}

// What stands under these keywords is no schema.
bool holds_data(const std::string& keyword) {
  return keyword == "enum" || keyword == "const" || keyword == "default" || keyword == "examples" ||
         keyword == "example";
}

// What stands under these keywords are schemas by name.
bool holds_names(const std::string& keyword) {
  return keyword == "properties" || keyword == "patternProperties" || keyword == "$defs" || keyword == "definitions" ||
         keyword == "dependentSchemas" || keyword == "dependencies";
}

}  // namespace

Document::Document(Json root) : root_(std::move(root)) {
  enter(root_, {});
}

void Document::enter(const Json& part, Place place) {
  if (part.is_object() && !place.names) {
    for (const char* keyword : {"$id", "id"}) {
      const std::string id = text_of(part, keyword);
      if (!id.empty() && id[0] != '#') {
        place.base = stripped(absolute(place.base, id));
        ids_.try_emplace(place.base, &part);
      } else if (!id.empty()) {
        ids_.try_emplace(place.base + id, &part);
      }
    }
    for (const char* keyword : {"$anchor", "$dynamicAnchor"}) {
      if (const std::string anchor = text_of(part, keyword); !anchor.empty()) {
        ids_.try_emplace(place.base + "#" + anchor, &part);
      }
    }
  }
  const Place here = place;
  places_.emplace(&part, std::move(place));
  if (part.is_object()) {
    for (const auto& [key, value] : part.items()) {
      if (here.names || !holds_data(key)) {
        enter(value, {&part, key, here.base, !here.names && holds_names(key)});
      } else {
        places_.emplace(&value, Place{&part, key, here.base, false});
      }
    }
  } else if (part.is_array()) {
    for (size_t i = 0; i < part.size(); ++i) {
      enter(part[i], {&part, std::to_string(i), here.base, false});
    }
  }
}

const Json* Document::resolve(const Json* from, const std::string& reference) const {
  const auto place = places_.find(from);
  const std::string base = place == places_.end() ? "" : place->second.base;
  const size_t hash = reference.find('#');
  const std::string where = reference.substr(0, hash);
  const auto fragment = percent_decoded(hash == std::string::npos ? "" : reference.substr(hash + 1));
  if (!fragment) {
    return nullptr;
  }
  const std::string id = where.empty() ? base : stripped(absolute(base, where));
  const auto resource = ids_.find(id);
  if (resource != ids_.end()) {
    if (const Json* found = by_fragment(resource->second, id, *fragment)) {
      return found;
    }
  }
  return where.empty() || id.empty() ? by_fragment(&root_, id, *fragment) : nullptr;
}

const Json* Document::by_fragment(const Json* resource, const std::string& base, const std::string& fragment) const {
  if (fragment.empty()) {
    return resource;
  }
  if (fragment[0] != '/') {
    const auto found = ids_.find(base + "#" + fragment);
    return found == ids_.end() ? nullptr : found->second;
  }
  const Json* part = resource;
  for (size_t begin = 1; part != nullptr && begin <= fragment.size();) {
    const size_t end = std::min(fragment.find('/', begin), fragment.size());
    part = step_into(*part, unescaped(fragment.substr(begin, end - begin)));
    begin = end + 1;
  }
  return part;
}

std::string Document::path(const Json* part) const {
  std::string path;
  for (auto place = places_.find(part); place != places_.end() && place->second.parent != nullptr;
       place = places_.find(place->second.parent)) {
    path = place->second.key + (path.empty() ? "" : "." + path);
  }
  return path;
}

}  // namespace hypura::schema
