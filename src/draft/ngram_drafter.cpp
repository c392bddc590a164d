#include <algorithm>

#include "draft/drafter.h"
#include "ngram-map.h"

namespace hypura {

namespace {

// Tokens that must stand before as they do now. Longer ones are looked for first: what followed those is surer.
constexpr uint16_t kLongest = 4;
constexpr uint16_t kShortest = 2;

class NgramDrafter final : public Drafter {
 public:
  Result<std::vector<int32_t>> draft(uint32_t /*sequence*/, std::span<const int32_t> tokens, uint32_t most) override {
    if (tokens.empty() || most == 0) {
      return std::vector<int32_t>();
    }
    const std::vector<int32_t> before(tokens.begin(), tokens.end() - 1);
    for (uint16_t length = kLongest; length >= kShortest; --length) {
      // llama.cpp drafts at least as many tokens as it compares.
      const common_ngram_simple_config config = {length, static_cast<uint16_t>(std::max<uint32_t>(most, length))};
      std::vector<int32_t> found = common_ngram_simple_draft(config, before, tokens.back());
      if (!found.empty()) {
        found.resize(std::min<size_t>(found.size(), most));
        return found;
      }
    }
    return std::vector<int32_t>();
  }
};

}  // namespace

std::unique_ptr<Drafter> make_ngram_drafter() {
  return std::make_unique<NgramDrafter>();
}

}  // namespace hypura
