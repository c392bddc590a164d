#include "llama/sampler.h"

#include <cmath>
#include <vector>

#include "llama/vocabulary_for_test.h"

namespace hypura {
namespace {

class SamplerTest : public VocabularyTest {
 protected:
  std::vector<Candidate> candidates(float logit) const {
    std::vector<Candidate> all(static_cast<size_t>(vocab_.size()));
    for (int32_t token = 0; token < vocab_.size(); ++token) {
      all[static_cast<size_t>(token)] = {token, logit, 0};
    }
    return all;
  }
};

TEST_F(SamplerTest, ChoosesTheLikeliestUntilAPenaltyForbidsIt) {
  SamplingOptions options;
  options.temperature = 0;
  options.repeat_last_n = 8;
  options.presence_penalty = 2;
  Sampler sampler(options, vocab_);
  auto all = candidates(0);
  all[17].logit = 2;
  all[18].logit = 1;
  EXPECT_EQ(sampler.choose(all), 17);
  sampler.accept(17);
  all = candidates(0);
  all[17].logit = 2;
  all[18].logit = 1;
  EXPECT_EQ(sampler.choose(all), 18);
}

TEST_F(SamplerTest, ChoosesNothingWhereNothingIsPossible) {
  for (const float temperature : {0.0F, 1.0F}) {
    SamplingOptions options;
    options.temperature = temperature;
    auto all = candidates(-INFINITY);
    EXPECT_EQ(Sampler(options, vocab_).choose(all), std::nullopt);
    all = candidates(-INFINITY);
    all[5].logit = -3;
    EXPECT_EQ(Sampler(options, vocab_).choose(all), 5);
  }
}

TEST_F(SamplerTest, AVocabularyTellsItsTokens) {
  EXPECT_TRUE(vocab_.has(0));
  EXPECT_TRUE(vocab_.has(vocab_.size() - 1));
  EXPECT_FALSE(vocab_.has(vocab_.size()));
  EXPECT_FALSE(vocab_.has(-1));
  EXPECT_TRUE(vocab_.ends_text(llama_vocab_eos(vocab_.get())));
  EXPECT_FALSE(vocab_.ends_text(300));
  EXPECT_STREQ(vocab_.spelling(llama_vocab_eos(vocab_.get())),
               llama_vocab_get_text(vocab_.get(), llama_vocab_eos(vocab_.get())));
}

}  // namespace
}  // namespace hypura
