#include "storage/copies.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "support/log.h"

namespace hypura {

double Copies::steady_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

Copies::Copies(std::vector<Source> sources, std::span<const double> speeds, Clock now)
    : sources_(std::move(sources)), now_(now) {
  uint32_t copies = 0;
  for (uint32_t i = 0; i < sources_.size(); ++i) {
    const Source& source = sources_[i];
    if (source.copy == 0) {
      files_.emplace_back();
    }
    files_[source.file].sources.push_back(i);
    files_[source.file].lanes.push_back(source.lane);
    copies = std::max(copies, source.copy + 1);
  }
  if (!speeds.empty()) {
    choice_.emplace(speeds);
    bytes_.resize(copies);
    dropped_.resize(copies);
  }
}

uint32_t Copies::choose(uint32_t file, uint64_t bytes) {
  if (!choice_) {
    return file;
  }
  const File& from = files_[file];
  return from.sources[choice_->choose(from.lanes, bytes, now_())];
}

void Copies::issue(uint32_t source, uint64_t bytes) {
  if (choice_) {
    choice_->issue(sources_[source].lane, bytes, now_());
  }
}

void Copies::end(uint32_t source, uint64_t asked, uint64_t delivered, Noticed noticed) {
  if (choice_) {
    bytes_[sources_[source].copy] += delivered;
    choice_->end(sources_[source].lane, asked, delivered, now_(), noticed);
  }
}

std::optional<uint32_t> Copies::drop(uint32_t source, const Error& error) {
  const uint32_t copy = sources_[source].copy;
  if (copy == 0) {
    return std::nullopt;
  }
  if (!dropped_[copy]) {
    dropped_[copy] = true;
    logger().warn("a mirror failed; reading the model's own files instead: {}", error.message);
    for (File& file : files_) {
      for (size_t i = file.sources.size(); i-- > 1;) {
        if (sources_[file.sources[i]].copy == copy) {
          file.sources.erase(file.sources.begin() + static_cast<ptrdiff_t>(i));
          file.lanes.erase(file.lanes.begin() + static_cast<ptrdiff_t>(i));
        }
      }
    }
  }
  return sources_[source].file;
}

}  // namespace hypura
