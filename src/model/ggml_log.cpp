#include "model/ggml_log.h"

#include <atomic>
#include <deque>
#include <mutex>

namespace hypura {

namespace {

struct GgmlLog {
  ggml_log_callback callback = nullptr;
  void* data = nullptr;
};

// Never freed: another thread may be using it.
std::atomic<const GgmlLog*> log_below = nullptr;

thread_local GgmlLogCapture* capturing = nullptr;

std::string without_function(const std::string& text) {
  std::string line = text.substr(0, text.find('\n'));
  const size_t colon = line.find(": ");
  return colon == std::string::npos ? line : line.substr(colon + 2);
}

}  // namespace

void GgmlLogCapture::hear(ggml_log_level level, const char* text, void* /*data*/) {
  GgmlLogCapture* capture = capturing;
  if (capture != nullptr) {
    capture->text_ += text;
    if (level == GGML_LOG_LEVEL_ERROR && capture->error_.empty()) {
      capture->error_ = text;
    }
  }
  const GgmlLog* below = log_below;
  if (below != nullptr && (capture == nullptr || capture->rest_ == Rest::kLogged)) {
    below->callback(level, text, below->data);
  }
}

void keep_ggml_log() {
  static std::mutex mutex;
  static std::deque<GgmlLog> logs;  // of which only the last is used
  const std::lock_guard lock(mutex);
  GgmlLog now;
  ggml_log_get(&now.callback, &now.data);
  if (now.callback != GgmlLogCapture::hear) {
    log_below = &logs.emplace_back(now);
    ggml_log_set(GgmlLogCapture::hear, nullptr);
  }
}

GgmlLogCapture::GgmlLogCapture(Rest rest) : rest_(rest), before_(capturing) {
  keep_ggml_log();
  capturing = this;
}

GgmlLogCapture::~GgmlLogCapture() {
  capturing = before_;
}

std::string GgmlLogCapture::first() const {
  return without_function(text_);
}

std::string GgmlLogCapture::first_error() const {
  return without_function(error_);
}

}  // namespace hypura
