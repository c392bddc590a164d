#include "store/names/gguf_files.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <map>

#include "store/names/model_name.h"
#include "support/ascii.h"
#include "support/fail.h"

namespace hypura {
namespace {

constexpr std::string_view kGguf = ".gguf";
constexpr size_t kPartDigits = 5;
constexpr size_t kMostNamed = 24;  // sets that an error lists

std::string_view file_part(std::string_view path) {
  return path.substr(path.find_last_of('/') + 1);  // npos + 1 is 0
}

std::optional<size_t> part_number(std::string_view digits) {
  size_t number = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  return error == std::errc() && end == digits.data() + digits.size() ? std::optional(number) : std::nullopt;
}

// IQ4_XS, Q4_K_M, Q8_0, TQ1_0: letters, a digit, and parts behind underscores.
bool is_integer_quantization(std::string_view upper) {
  const std::string_view rest = upper.starts_with("IQ") || upper.starts_with("TQ") ? upper.substr(2)
                                : upper.starts_with('Q')                           ? upper.substr(1)
                                                                                   : std::string_view();
  if (rest.empty() || !is_ascii_digit(rest.front())) {
    return false;
  }
  for (size_t at = 1; at < rest.size();) {
    const size_t end = std::min(rest.find('_', at + 1), rest.size());
    if (rest[at] != '_' || end == at + 1 ||
        !std::all_of(rest.begin() + static_cast<std::ptrdiff_t>(at) + 1,
                     rest.begin() + static_cast<std::ptrdiff_t>(end), is_ascii_alnum)) {
      return false;
    }
    at = end;
  }
  return true;
}

bool is_plain_quantization(std::string_view text) {
  static constexpr std::array kFloats = {"F16", "F32", "BF16", "FP16", "FP32", "MXFP4", "MXFP4_MOE", "NVFP4"};
  const std::string upper = ascii_upper(text);
  return is_integer_quantization(upper) || std::find(kFloats.begin(), kFloats.end(), upper) != kFloats.end();
}

constexpr std::string_view kDynamic = "UD-";

// The quantization that a piece of a name ends with: all of it, or what follows one of its underscores.
std::string_view quantization_at_end(std::string_view piece) {
  for (size_t at = 0; at != std::string_view::npos; at = piece.find('_', at + 1)) {
    const std::string_view rest = piece.substr(at == 0 ? 0 : at + 1);
    if (is_plain_quantization(rest)) {
      return rest;
    }
  }
  return {};
}

bool names_quant(const GgufSet& set, std::string_view quant) {
  return equal_ignoring_case(set.quant, quant);
}

bool names_quant_shortly(const GgufSet& set, std::string_view quant) {
  return set.quant.starts_with(kDynamic) && equal_ignoring_case(set.quant.substr(kDynamic.size()), quant);
}

bool names_stem(const GgufSet& set, std::string_view quant) {
  return equal_ignoring_case(file_part(set.stem), quant);
}

std::string list_of(const std::vector<GgufSet>& sets) {
  std::string list;
  for (size_t i = 0; i < sets.size() && i < kMostNamed; ++i) {
    list += (i == 0 ? "" : ", ") + (sets[i].quant.empty() ? std::string(file_part(sets[i].stem)) : sets[i].quant);
  }
  return list + (sets.size() > kMostNamed ? ", …" : "");
}

}  // namespace

bool is_quantization(std::string_view text) {
  const bool dynamic = text.size() > kDynamic.size() && equal_ignoring_case(text.substr(0, kDynamic.size()), kDynamic);
  return is_plain_quantization(dynamic ? text.substr(kDynamic.size()) : text);
}

std::optional<GgufPart> gguf_part(std::string_view file) {
  if (file.size() <= kGguf.size() || !equal_ignoring_case(file.substr(file.size() - kGguf.size()), kGguf) ||
      file_part(file).size() == kGguf.size()) {
    return std::nullopt;
  }
  const std::string_view stem = file.substr(0, file.size() - kGguf.size());
  constexpr std::string_view kOf = "-of-";
  constexpr size_t kEnding = 1 + kPartDigits + kOf.size() + kPartDigits;  // -00002-of-00003
  if (stem.size() <= kEnding) {
    return GgufPart{std::string(stem)};
  }
  const std::string_view ending = stem.substr(stem.size() - kEnding);
  const auto part = part_number(ending.substr(1, kPartDigits));
  const auto parts = part_number(ending.substr(kEnding - kPartDigits));
  if (ending.front() != '-' || ending.substr(1 + kPartDigits, kOf.size()) != kOf || !part || !parts) {
    return GgufPart{std::string(stem)};
  }
  if (*part < 1 || *part > *parts) {
    return std::nullopt;
  }
  return GgufPart{std::string(stem.substr(0, stem.size() - kEnding)), *part, *parts};
}

bool is_companion(std::string_view file) {
  const std::string name = ascii_lower(file_part(file));
  return name.find("mmproj") != std::string::npos || name.find("imatrix") != std::string::npos;
}

std::string quant_of(std::string_view file) {
  const auto part = gguf_part(file);
  const std::string_view stem = part ? std::string_view(part->stem) : file;
  std::string found;
  bool dynamic = false;
  for (size_t at = 0; at <= stem.size();) {
    const size_t end = std::min(stem.find_first_of("/-.", at), stem.size());
    const std::string_view piece = stem.substr(at, end - at);
    if (const std::string_view quant = quantization_at_end(piece); !quant.empty()) {
      found = (dynamic ? std::string(kDynamic) : std::string()) + ascii_upper(quant);
    }
    dynamic = end < stem.size() && stem[end] == '-' && equal_ignoring_case(piece, "UD");
    at = end + 1;
  }
  return found;
}

std::vector<GgufSet> gguf_sets(const std::vector<std::string>& files) {
  std::map<std::pair<std::string, size_t>, std::map<size_t, std::string>> parts_of;
  for (const std::string& file : files) {
    const auto part = gguf_part(file);
    if (part && !is_companion(file)) {
      parts_of[{part->stem, part->parts}].emplace(part->part, file);
    }
  }
  std::vector<GgufSet> sets;
  for (const auto& [key, parts] : parts_of) {
    GgufSet set{key.first, quant_of(key.first + std::string(kGguf)), {}, key.second};
    for (const auto& [number, file] : parts) {
      set.files.push_back(file);
    }
    sets.push_back(std::move(set));
  }
  return sets;
}

Result<GgufSet> choose_set(const std::vector<GgufSet>& sets, std::string_view quant, std::string_view where) {
  if (sets.empty()) {
    return fail(ErrorCode::kBadModel, "{} has no GGUF file of a model; Hypura runs GGUF files only", where);
  }
  if (quant.empty()) {
    for (const char* preferred : {"Q4_K_M", "Q8_0"}) {
      const auto found =
          std::find_if(sets.begin(), sets.end(), [&](const GgufSet& set) { return names_quant(set, preferred); });
      if (found != sets.end()) {
        return *found;
      }
    }
    return sets.front();
  }
  for (const auto& fits : {names_quant, names_stem, names_quant_shortly}) {
    std::vector<const GgufSet*> found;
    for (const GgufSet& set : sets) {
      if (fits(set, quant)) {
        found.push_back(&set);
      }
    }
    if (found.size() == 1) {
      return *found.front();
    }
    if (found.size() > 1) {
      return fail(ErrorCode::kUsage, "{} has {} models of {}: write the name of one, as {}, in its place", where,
                  found.size(), quant, file_part(found.front()->stem));
    }
  }
  return fail(ErrorCode::kUsage, "{} has no {}; it has {}", where, quant, list_of(sets));
}

}  // namespace hypura
