// Answers that share cells of one context, and beginnings of their prompts: what each says is what it says alone.

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <random>
#include <thread>

#include "generate/generator_for_test.h"
#include "support/units.h"

namespace hypura {
namespace {

// Two layers, in memory: a token takes a fraction of a millisecond.
Generator::Options small_stories(uint32_t parallel) {
  Generator::Options options = stories(parallel);
  options.engine.model = kModels / "hypura-stories-draft.gguf";
  options.engine.memory = kGiB;
  options.engine.repack = false;  // rows enough for it come together only in company
  return options;
}

AnswerRequest telling(const std::string& text, int32_t tokens) {
  AnswerRequest request = continuing(text, tokens);
  request.shift = false;
  request.logprobs = true;
  request.top_logprobs = 2;
  return request;
}

TEST(GeneratorPool, AnswersThatTakeEachOthersCellsAreWhatTheyAreAlone) {
  PlanOverrides overrides;
  overrides.pool = 256;
  const auto generator = open(small_stories(4), overrides);
  ASSERT_NE(generator, nullptr);
  ASSERT_EQ(generator->stats().context_size, 256U);
  std::vector<AnswerRequest> requests;
  for (const std::string& beginning : kBeginnings) {
    requests.push_back(telling(beginning, 120));
  }
  std::vector<Heard> alone;
  for (const AnswerRequest& request : requests) {
    alone.push_back(ask(*generator, request));
  }
  EXPECT_EQ(generator->stats().parked, 0U);
  std::vector<std::shared_ptr<HearingSink>> sinks;
  for (const AnswerRequest& request : requests) {
    sinks.push_back(submit(*generator, request));
  }
  for (size_t i = 0; i < sinks.size(); ++i) {
    const Heard together = sinks[i]->wait();
    EXPECT_EQ(together.end.stop, alone[i].end.stop) << i;
    EXPECT_EQ(together.logprobs.size(), alone[i].logprobs.size());
    expect_same_but_for_rounding(alone[i], together);
  }
  EXPECT_GT(generator->stats().parked, 0U) << "four answers of 120 tokens and more have no place at once";
  EXPECT_LE(generator->stats().context_used, 256U);
}

// With one answer at a time: the second turn finds the first one's tokens, whatever was asked between.
TEST(GeneratorPool, ASideRequestBetweenTwoTurnsCostsTheConversationNothing) {
  Generator::Options options = small_stories(1);
  const auto generator = open(options);
  ASSERT_NE(generator, nullptr);
  AnswerRequest turn = continuing("", 8);
  turn.context.resize(120);
  std::iota(turn.context.begin(), turn.context.end(), 300);
  const Heard first = ask(*generator, turn);
  for (int32_t i = 0; i < 20; ++i) {
    AnswerRequest side = continuing("", 8);
    side.context = std::vector<int32_t>(20, 400 + i);
    ask(*generator, side);
  }
  turn.context = first.end.tokens;
  turn.context.push_back(500);
  const Heard second = ask(*generator, turn);
  EXPECT_GE(second.end.cached_prompt_tokens + 2, first.end.tokens.size());
}

// Clients whose prompts have a beginning in common, and each a secret that no model would come upon; many give up on
// the way. What the model rounds differently in company is told from what it was told by others:
// expect_same_but_for_rounding.
class Secrets {
 public:
  Secrets() : generator_(open(small_stories(6), narrow())) {}

  // All clients at once ask so many times each. Gives how many answers were compared.
  int ask(int times) {
    for (size_t who = 0; who < kNames.size(); ++who) {
      alone_.push_back(hypura::ask(*generator_, request(who)));
    }
    std::vector<std::thread> clients;
    for (size_t who = 0; who < kNames.size(); ++who) {
      clients.emplace_back([this, who, times] {
        std::mt19937 random(static_cast<uint32_t>(who));
        for (int i = 0; i < times; ++i) {
          ask_once(who, random);
        }
      });
    }
    for (std::thread& it : clients) {
      it.join();
    }
    EXPECT_GT(generator_->stats().context_shared, 0U);
    EXPECT_GT(generator_->stats().cancelled, 0U);
    return compared_;
  }

 private:
  static constexpr std::array<const char*, 16> kNames = {"Tom",  "Lily", "Max", "Anna", "Ben", "Sara", "Tim",  "Mia",
                                                         "Jack", "Lucy", "Sam", "Amy",  "Bob", "Sue",  "Fred", "Jane"};

  static PlanOverrides narrow() {
    PlanOverrides overrides;
    overrides.pool = 512;
    return overrides;
  }

  static std::string secret(size_t who) { return std::to_string(48271 * (who + 1) % 100000); }

  static AnswerRequest request(size_t who) {
    return telling(std::string("Once upon a time there was a big house at the edge of the forest, and in it lived many "
                               "children. Every evening they sat by the fire and told each other what they had seen "
                               "that day. One of them was called ") +
                       kNames[who] + ". The secret number of " + kNames[who] + " was " + secret(who) + ". \"" +
                       secret(who) + "\", said",
                   40);
  }

  void ask_once(size_t who, std::mt19937& random) {
    auto sink = std::make_shared<HearingSink>();
    const auto id = generator_->submit(request(who), sink);
    ASSERT_TRUE(id) << id.error().message;
    if (random() % 3 == 0) {
      std::this_thread::sleep_for(std::chrono::microseconds(random() % 30000));
      generator_->cancel(*id);
    }
    const Heard heard = sink->wait();
    for (size_t other = 0; other < kNames.size(); ++other) {
      EXPECT_TRUE(other == who || heard.content.find(secret(other)) == std::string::npos)
          << kNames[who] << " was told the secret of " << kNames[other] << ": " << heard.content;
    }
    if (heard.end.stop != StopReason::kCancelled) {
      EXPECT_NE(heard.end.stop, StopReason::kError);
      expect_same_but_for_rounding(alone_[who], heard);
      ++compared_;
    }
  }

  std::unique_ptr<Generator> generator_;
  std::vector<Heard> alone_;  // by name
  std::atomic<int> compared_{0};
};

// For ten minutes, each time with a new order of events: --gtest_repeat=600.
TEST(GeneratorPool, NobodyIsToldAnothersSecret) {
  EXPECT_GT(Secrets().ask(3), 16);
}

}  // namespace
}  // namespace hypura
