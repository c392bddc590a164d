#include "residency/expert_ranking.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <iterator>

namespace hypura {

namespace {

// A share that faded below this counts as none: arithmetic with the smallest numbers is slow.
constexpr double kNothing = 1e-30;

}  // namespace

ExpertRanking::ExpertRanking(uint32_t experts)
    : experts_(experts), shares_(experts), follows_(2, experts), next_(experts), one_(experts) {}

double ExpertRanking::half_life_tokens(uint32_t experts, uint32_t used) {
  return kHalfLifeTokens * std::sqrt(experts / (8.0 * used));
}

uint64_t ExpertRanking::bytes_for(uint32_t layers, uint32_t experts) {
  return layers * (CoActivation::bytes_for(2, experts) + 3 * sizeof(double) * uint64_t{experts});
}

void ExpertRanking::note(const PassChoice& pass) {
  assert(pass.used > 0 && pass.chosen.size() % pass.used == 0);
  if (!pass.chosen.empty()) {
    fade(pass);
    learn(pass);
  }
}

void ExpertRanking::fade(const PassChoice& pass) {
  const double tokens = pass.tokens();
  const double faded = std::exp2(-tokens / half_life_tokens(experts_, pass.used));
  for (double& share : shares_) {
    share = share < kNothing ? 0 : share * faded;
  }
  // The pass's uses, spread evenly over its tokens, have partly faded by its end.
  const double use = (1 - faded) / tokens;
  for (const uint16_t expert : pass.chosen) {
    if (expert < experts_) {
      shares_[expert] += use;
    }
  }
}

void ExpertRanking::learn(const PassChoice& pass) {
  const uint32_t tokens = pass.tokens();
  const auto row = [&](uint32_t token) { return pass.chosen.subspan(size_t{token} * pass.used, pass.used); };
  const size_t before = last_.size() / last_used_;
  const auto last = [&](size_t token) { return std::span(last_).subspan(token * last_used_, last_used_); };
  if (pass.decode && before == tokens) {
    for (uint32_t token = 0; token < tokens; ++token) {
      learn_step(last(token), row(token));
    }
  } else if (!pass.decode) {
    if (before == 1) {
      learn_step(last(0), row(0));
    }
    for (uint32_t token = 1; token < tokens; ++token) {
      learn_step(row(token - 1), row(token));
    }
  }
  const auto kept = pass.decode ? pass.chosen : row(tokens - 1);
  last_.assign(kept.begin(), kept.end());
  last_used_ = pass.used;
  looked_ = false;
}

void ExpertRanking::learn_step(std::span<const uint16_t> before, std::span<const uint16_t> after) {
  const auto is_expert = [this](uint16_t expert) { return expert < experts_; };
  before_.clear();
  after_.clear();
  std::ranges::copy_if(before, std::back_inserter(before_), is_expert);
  std::ranges::copy_if(after, std::back_inserter(after_), is_expert);
  follows_.learn(0, before_, after_);
}

// The mean over what the next pass's tokens may follow.
void ExpertRanking::look_ahead() {
  std::ranges::fill(next_, 0);
  const size_t rows = last_.size() / last_used_;
  for (size_t at = 0; at < last_.size(); at += last_used_) {
    before_.clear();
    std::ranges::copy_if(std::span(last_).subspan(at, last_used_), std::back_inserter(before_),
                         [this](uint16_t expert) { return expert < experts_; });
    follows_.likelihoods(0, before_, one_);
    for (uint32_t expert = 0; expert < experts_; ++expert) {
      next_[expert] += one_[expert] / static_cast<double>(rows);
    }
  }
  looked_ = true;
}

double ExpertRanking::worth(uint32_t expert) {
  if (!looked_) {
    look_ahead();
  }
  return shares_[expert] + kNextWeight * next_[expert];
}

}  // namespace hypura
