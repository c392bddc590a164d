// The open files that a reader's files can be read from: each file itself, and its copies on mirrors. Chooses one for
// each chunk, counts what each copy gave, and drops a mirror that fails. Not thread-safe.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <vector>

#include "hypura/result.h"
#include "storage/mirror_choice.h"

namespace hypura {

// An open file, without what reading it takes.
struct Source {
  std::filesystem::path path;
  bool direct = true;
  uint32_t file = 0;  // the number of the file whose bytes it has
  uint32_t copy = 0;  // 0: that file itself; else the number of a mirror
  uint32_t lane = 0;  // see MirrorChoice
};

class Copies {
 public:
  // In seconds, from any start.
  using Clock = double (*)();
  static double steady_seconds();

  // First every file itself, by number, then those of mirrors. `speeds` are those of the lanes; none without mirrors.
  Copies(std::vector<Source> sources, std::span<const double> speeds, Clock now = steady_seconds);

  size_t files() const { return files_.size(); }
  const Source& source(uint32_t number) const { return sources_[number]; }
  // The number of the file itself is that of its own source.
  const std::filesystem::path& path(uint32_t number) const { return sources_[number].path; }

  // The number of the source that a chunk of `bytes` of `file` is to be read from; it is then under way.
  uint32_t choose(uint32_t file, uint64_t bytes);
  // A chunk is under way from a source that was not chosen again.
  void issue(uint32_t source, uint64_t bytes);
  // A chunk of `asked` bytes that was under way has ended with `delivered`, or with a failure and 0.
  void end(uint32_t source, uint64_t asked, uint64_t delivered, Noticed noticed);

  // A read from `source` failed: the file itself to read from instead, and the mirror is not chosen any more, as the
  // log then says. Nothing when `source` is the file itself.
  std::optional<uint32_t> drop(uint32_t source, const Error& error);

  // Bytes that each copy delivered, by its number. Empty without mirrors.
  const std::vector<uint64_t>& bytes() const { return bytes_; }

 private:
  // What a file can be read from, in parallel.
  struct File {
    std::vector<uint32_t> sources;
    std::vector<uint32_t> lanes;
  };

  std::vector<Source> sources_;
  std::vector<File> files_;
  std::optional<MirrorChoice> choice_;  // none without mirrors
  std::vector<uint64_t> bytes_;
  std::vector<bool> dropped_;  // by copy
  Clock now_;
};

}  // namespace hypura
