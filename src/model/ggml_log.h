// What ggml logs. It has one log for the process, and to change that while another thread logs is not safe: so ours is
// set once, before anything is computed, and what is to be heard on one thread is heard there.
#pragma once

#include <ggml.h>

#include <string>

namespace hypura {

// Sets our log in the place of the one that is set, which hears from then on what nobody captures. Does nothing where
// ours is set. Any thread, but as ggml_log_set not while others log, unless ours is set.
void keep_ggml_log();

// Hears what ggml logs on this thread while it lives. Of the thread that made it; the last one made hears.
class GgmlLogCapture {
 public:
  enum class Rest { kDropped, kLogged };  // whether the log hears it too

  explicit GgmlLogCapture(Rest rest);
  ~GgmlLogCapture();
  GgmlLogCapture(const GgmlLogCapture&) = delete;
  GgmlLogCapture& operator=(const GgmlLogCapture&) = delete;

  // The first line, or the first of an error, without the name of the function that logged it; empty: there was none.
  std::string first() const;
  std::string first_error() const;

 private:
  static void hear(ggml_log_level level, const char* text, void* data);
  friend void keep_ggml_log();

  const Rest rest_;
  GgmlLogCapture* const before_;
  std::string text_;
  std::string error_;
};

}  // namespace hypura
