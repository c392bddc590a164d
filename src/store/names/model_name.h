// What a person may call a model: a file, a repository on Hugging Face, a name in an Ollama registry, or an address.
// Pure text, but for one question to the file system: a path that exists is that path, whatever else it could mean.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "hypura/result.h"

namespace hypura {

// A file on this machine. It may not exist: then the text could be nothing else.
struct FileName {
  std::filesystem::path path;
  bool operator==(const FileName&) const = default;
};

// hf.co/ORG/REPO[:QUANT], also huggingface.co/…; or the address of the repository's page or of a GGUF file in it.
struct HuggingFaceName {
  std::string org;
  std::string repo;
  std::string quant;     // as written, without regard to case, e.g. Q4_K_M or UD-Q4_K_XL; empty: none was named
  std::string revision;  // of an address that names a file; else empty: main
  std::string file;      // path in the repository, of an address that names a file; else empty
  bool operator==(const HuggingFaceName&) const = default;
};

// [HOST[:PORT]/][NAMESPACE/]MODEL[:TAG] with what was left out filled in.
struct OllamaName {
  std::string host;   // with port, if one was written; kOllamaRegistry when none was
  std::string space;  // namespace; "library" when none was
  std::string model;
  std::string tag;  // "latest" when none was
  bool operator==(const OllamaName&) const = default;
};

// https://….gguf; http:// only for this machine itself (loopback).
struct AddressName {
  std::string url;
  bool operator==(const AddressName&) const = default;
};

inline constexpr std::string_view kOllamaRegistry = "registry.ollama.ai";
inline constexpr std::string_view kHuggingFaceHost = "hf.co";

using NameReading = std::variant<FileName, HuggingFaceName, OllamaName, AddressName>;

// A name and what it can mean. `readings` has one element, or two where A/B or A/B:TAG may be a repository on Hugging
// Face (first) or a model of a user in Ollama's registry (second): a catalogue that has one of them decides.
struct ModelName {
  std::string text;  // as it was written
  std::vector<NameReading> readings;
};

// Whether a name may be a file: not where it comes from another machine, for then it could ask what files there are.
enum class FilesAs { kNames, kErrors };

// Reads a name. Fails with kUsage and a sentence when the text can be none: it names the part that is wrong.
// A text that begins with ".", "/" or "~", or that ends in .gguf and is no address, is a file; so is that of a file
// that exists. With FilesAs::kErrors the first kind fails and the file system is not asked.
Result<ModelName> read_model_name(std::string_view text, FilesAs files = FilesAs::kNames);

// The one thing that the name can mean. Fails with kUsage where there are two, and says how to write each.
Result<NameReading> only_reading(const ModelName& name);

// The shortest text that read_model_name reads as this again: hf.co/ORG/REPO[:QUANT], qwen3:30b, user/model:tag with
// ollama.com/ before it, HOST/ns/model:tag, the path, the address.
std::string text_of(const NameReading& reading);

// Whether text names a quantization, as quant_of finds them in the names of files: Q4_K_M, IQ2_XXS, BF16, UD-Q4_K_XL.
bool is_quantization(std::string_view text);

}  // namespace hypura
