#include "output/stop_strings.h"

#include <algorithm>
#include <utility>

namespace hypura {

namespace {

// Bytes at the end of `text` that begin `stop` and do not finish it, at most.
size_t beginning_at_end(std::string_view text, std::string_view stop) {
  size_t length = std::min(text.size(), stop.size() - 1);
  while (length > 0 && text.substr(text.size() - length) != stop.substr(0, length)) {
    --length;
  }
  return length;
}

}  // namespace

StopStrings::StopStrings(std::vector<std::string> stops) : stops_(std::move(stops)) {
  std::erase_if(stops_, [](const std::string& stop) { return stop.empty(); });
}

std::string StopStrings::add(std::string_view text) {
  if (hit()) {
    return {};
  }
  held_ += text;
  size_t at = std::string::npos;
  size_t kept = 0;
  for (const std::string& stop : stops_) {
    if (const size_t found = held_.find(stop); found < at) {
      at = found;
      matched_ = stop;
    }
    kept = std::max(kept, beginning_at_end(held_, stop));
  }
  if (at == std::string::npos) {
    return pass(held_.size() - kept);
  }
  std::string ready = pass(at);
  held_.clear();
  return ready;
}

std::string StopStrings::finish() {
  return pass(held_.size());
}

std::string StopStrings::pass(size_t count) {
  std::string ready = held_.substr(0, count);
  held_.erase(0, count);
  passed_ += count;
  return ready;
}

}  // namespace hypura
