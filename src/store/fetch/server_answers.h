// What servers of models answer, read by who trusts none of it. Pure functions; any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "hypura/result.h"

namespace hypura {

// A file in a repository of Hugging Face's.
struct TreeFile {
  std::string path;  // is_safe_file_name
  uint64_t size = 0;
  std::string hash;  // that Hugging Face's cache calls it by: SHA-256, or git's 40 digits of a small file
};

// One page of a repository's list of files. Folders are left out, and files whose names could leave their folder. Fails
// with kBadModel when it is no list.
Result<std::vector<TreeFile>> read_tree(std::string_view text);

// The commit of a revision, 40 hexadecimal digits; empty: the answer has none.
std::string read_commit(std::string_view text);

// A blob that a registry's manifest names.
struct RegistryLayer {
  std::string kind;  // of Ollama's: "model", "template" …
  std::string sha256;
  uint64_t size = 0;
};

// The layers of a manifest that Hypura has a use for. Fails with kBadModel when it is none, when one of them has no
// SHA-256 or size, when there is not exactly one model, or an adapter, which would make it another model.
Result<std::vector<RegistryLayer>> read_manifest(std::string_view text);

// The digests ("sha256:…") of a list's manifests that may have a GGUF file, those for the runners that read one first;
// none: it is no list, but a manifest itself.
struct ManifestList {
  bool is_list = false;
  std::vector<std::string> digests;
};
ManifestList read_manifest_list(std::string_view text);

// Whether a server's name of a file may become one of ours: a relative path without ".." or "." parts, control
// characters, backslashes, colons or parts longer than 255 bytes.
bool is_safe_file_name(std::string_view name);

}  // namespace hypura
