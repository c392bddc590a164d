#include "cli/repack/repack_text.h"

#include <fmt/format.h>

#include "cli/inspect/words.h"
#include "support/printable.h"
#include "support/units.h"

namespace hypura {

std::string repack_gain_text(const std::filesystem::path& model, const RepackGain& gain) {
  const Prediction& plain = gain.plain.prediction;
  const std::string decode = fmt::format("decode {} with a repacked copy, {} without",
                                         rate_words(gain.tokens_per_second), rate_words(plain.tokens_per_second));
  const std::string prompt =
      fmt::format("a prompt of 512 tokens {}, {} without", seconds_words(gain.prefill512_seconds),
                  seconds_words(plain.prefill512_seconds));
  return fmt::format("{} in {} of memory{}: {}; {}; the copy takes {} of disk", printable(model.string()),
                     format_bytes(gain.plain.budget), gain.assumed, decode, prompt, format_bytes(gain.copy_bytes));
}

std::string repack_refusal(const std::filesystem::path& model, const RepackGain& gain) {
  if (!gain.writable) {
    return fmt::format("{}: there is nothing to repack: {}", printable(model.string()), gain.nothing);
  }
  return fmt::format("{}: a repacked copy ({} of disk) would give nothing here: {}; {}", printable(model.string()),
                     format_bytes(gain.copy_bytes), gain.nothing,
                     "--memory says what it gives in less memory, --force writes it all the same");
}

}  // namespace hypura
