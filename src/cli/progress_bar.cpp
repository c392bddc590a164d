#include "cli/progress_bar.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace hypura {

namespace {

constexpr int kBarWidth = 30;

}  // namespace

std::string progress_line(double share, std::string_view what) {
  const double clamped = std::clamp(share, 0.0, 1.0);
  const int filled = static_cast<int>(clamped * kBarWidth);
  return fmt::format("{} [{:<{}}] {:3.0f} %", what, std::string(static_cast<size_t>(filled), '#'), kBarWidth,
                     clamped * 100);
}

void ProgressBar::show(double share, std::string_view what) {
  std::string line = progress_line(share, what);
  if (visible_ && line != drawn_) {
    output_.write("\r" + line + "\x1b[K");
    drawn_ = std::move(line);
  }
}

ProgressBar::~ProgressBar() {
  if (!drawn_.empty()) {
    output_.write("\r\x1b[K");
  }
}

}  // namespace hypura
