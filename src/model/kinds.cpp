#include "model/kinds.h"

#include <algorithm>
#include <array>
#include <utility>

#include "support/fail.h"

namespace hypura {
namespace {

struct Kind {
  std::string_view type;          // its general.type
  std::string_view architecture;  // or its general.architecture
  std::string_view key;           // or a key that only it has
  std::string_view sentence;
};

constexpr std::array kKinds = {
    Kind{"adapter", "", "adapter.type",
         "is an adapter (LoRA), which changes another model: merge it into that model with llama.cpp's "
         "llama-export-lora, and give the result"},
    Kind{"mmproj", "clip", "",
         "is a projector (mmproj), the part of a model that reads images or sound: give the file of the model itself, "
         "of which Hypura runs the text part"},
    Kind{"", "controlvector", "controlvector.model_hint",
         "is a control vector, which steers another model: give the file of the model itself"},
    Kind{"imatrix", "imatrix", "imatrix.chunk_count",
         "is an importance matrix (imatrix), which helps to quantize a model: give the file of the model itself"}};

constexpr std::array<std::string_view, 5> kOtherParts = {"v.", "a.", "mm.", "resampler.", "vision_model."};

// What the key says; empty where it is missing or no text.
std::string text_or_nothing(const Metadata& metadata, const char* key) {
  const auto text = metadata.text(key);
  return text ? text->value_or("") : "";
}

}  // namespace

Status check_is_model(const Metadata& metadata) {
  const std::string type = text_or_nothing(metadata, "general.type");
  const std::string architecture = text_or_nothing(metadata, "general.architecture");
  for (const Kind& kind : kKinds) {
    if ((!type.empty() && type == kind.type) || (!architecture.empty() && architecture == kind.architecture) ||
        metadata.has(std::string(kind.key))) {
      return fail(ErrorCode::kBadModel, "{}: {}", metadata.path().string(), kind.sentence);
    }
  }
  return {};
}

bool is_of_other_part(std::string_view tensor) {
  return std::any_of(kOtherParts.begin(), kOtherParts.end(),
                     [&](std::string_view start) { return tensor.starts_with(start); });
}

std::string_view known_as(std::string_view first_bytes) {
  using namespace std::string_view_literals;
  constexpr std::array<std::pair<std::string_view, std::string_view>, 9> kStarts = {
      {{"version https://git-lfs"sv, "a pointer of Git LFS: fetch the file itself (git lfs pull)"sv},
       {"<!DOCTYPE"sv, "a web page: the download went wrong"sv},
       {"<!doctype"sv, "a web page: the download went wrong"sv},
       {"<html"sv, "a web page: the download went wrong"sv},
       {"PK\x03\x04"sv, "a ZIP archive, as PyTorch writes: convert it to GGUF"sv},
       {"lmgg"sv, "a GGML file of before 2023: convert the original model to GGUF"sv},
       {"tjgg"sv, "a GGML file of before 2023: convert the original model to GGUF"sv},
       {"fmgg"sv, "a GGML file of before 2023: convert the original model to GGUF"sv},
       {"algg"sv, "an adapter (LoRA) in an old format"sv}}};
  for (const auto& [start, what] : kStarts) {
    if (first_bytes.starts_with(start)) {
      return what;
    }
  }
  // Eight bytes of length, and then the header's JSON.
  return first_bytes.size() > 9 && first_bytes.substr(8, 2) == "{\""sv ? "a safetensors file: convert it to GGUF"sv
                                                                       : std::string_view();
}

}  // namespace hypura
