// What a model's name means on the server that has it: which files, how large, with which hashes, and where they go.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "hypura/result.h"
#include "store/fetch/fetch_settings.h"
#include "store/fetch/web_client.h"
#include "store/names/model_name.h"

namespace hypura {

struct RemoteFile {
  std::string name;  // in its repository: a relative path
  std::string url;
  std::string token;
  uint64_t size = 0;
  std::string sha256;          // empty: the server tells none
  std::filesystem::path blob;  // where the bytes go
  std::filesystem::path lock;  // that all take who fetch them
  std::filesystem::path path;  // what a command opens: a link to `blob`, or `blob` itself
};

// A text that is written when all files are there.
struct RemoteText {
  std::filesystem::path path;
  std::string text;
};

struct RemoteModel {
  NameReading identity;            // of a repository, with the quantization that was chosen
  std::string name;                // text_of(identity)
  std::vector<RemoteFile> parts;   // of the model, in order
  std::vector<RemoteFile> others;  // small ones that come with it, as the template of a model in a registry
  std::vector<RemoteText> texts;

  uint64_t bytes() const;    // of all files
  uint64_t missing() const;  // of those, not on this machine; what an interrupted run left counts as here
};

struct RemoteAccess {
  WebClient& client;
  const FetchSettings& settings;
  RetryPolicy retries;
  KeepGoing keep_going;
};

// Asks the server. Hugging Face: the tree of the repository's revision, of which one model is chosen (choose_set); into
// its own cache: blobs by hash, links below snapshots/COMMIT, refs. Ollama's registries: the manifest, or of a list the
// first with a GGUF file; into `settings.data`/ollama, in Ollama's own layout. An address: that file, and the other
// parts of a split set beside it; into `settings.data`/web.
// Fails with kUsage when nothing may be fetched (offline), or the name is a file's; with kIo when the server cannot be
// reached or refuses; with kBadModel when what it says cannot be used: no GGUF file, a name that would leave its
// folder.
Result<RemoteModel> find_remote_model(const RemoteAccess& access, const NameReading& name);

namespace remote {

// The three of them, for find_remote_model.
Result<RemoteModel> of_hugging_face(const RemoteAccess& access, const HuggingFaceName& name);
Result<RemoteModel> of_registry(const RemoteAccess& access, const OllamaName& name);
Result<RemoteModel> of_address(const RemoteAccess& access, const AddressName& name);

}  // namespace remote

}  // namespace hypura
