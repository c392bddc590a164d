#include "backend/asked_share.h"

#include <algorithm>
#include <cstring>
#include <limits>

namespace hypura {

namespace {

constexpr uint32_t kNoRow = std::numeric_limits<uint32_t>::max();

}  // namespace

void AskedShare::clear() {
  experts_.clear();
  pairs_.clear();
  parts_.clear();
  replied_ = 0;
}

void AskedShare::move_to_front(std::span<const uint32_t> first) {
  const auto place = [first](uint32_t expert) { return std::ranges::find(first, expert) - first.begin(); };
  std::ranges::stable_sort(experts_, {}, place);
}

void AskedShare::divide(Pairs pairs, uint32_t most_pairs) {
  for (size_t i = 0; i < experts_.size(); ++i) {
    const std::vector<uint32_t>& its = pairs[experts_[i]];
    if (parts_.empty() || pairs_.size() - begin_of(parts_.size() - 1).pairs + its.size() > most_pairs) {
      parts_.emplace_back();
    }
    pairs_.insert(pairs_.end(), its.begin(), its.end());
    parts_.back() = {i + 1, pairs_.size()};
  }
}

std::span<const uint32_t> AskedShare::experts_of(size_t ask) const {
  const size_t begin = begin_of(ask).experts;
  return std::span(experts_).subspan(begin, parts_[ask].experts - begin);
}

uint32_t AskedShare::pairs_of(size_t ask) const {
  return static_cast<uint32_t>(parts_[ask].pairs - begin_of(ask).pairs);
}

std::span<const uint32_t> AskedShare::find_tokens(const ExpertBlock& block) {
  const auto used = static_cast<uint32_t>(block.used());
  row_of_.assign(static_cast<size_t>(block.tokens()), kNoRow);
  for (const uint32_t pair : pairs_) {
    row_of_[pair / used] = 0;
  }
  tokens_.clear();
  for (uint32_t token = 0; token < row_of_.size(); ++token) {
    if (row_of_[token] != kNoRow) {
      row_of_[token] = static_cast<uint32_t>(tokens_.size());
      tokens_.push_back(token);
    }
  }
  return tokens_;
}

void AskedShare::write_pairs(size_t ask, Pairs pairs, const ExpertBlock& block, std::span<std::byte> to) const {
  const auto used = static_cast<uint32_t>(block.used());
  std::byte* at = to.data();
  for (const uint32_t expert : experts_of(ask)) {
    for (const uint32_t pair : pairs[expert]) {
      const AskedPair asked = {static_cast<int32_t>(expert), row_of_[pair / used]};
      std::memcpy(at, &asked, sizeof(asked));
      at += sizeof(asked);
    }
  }
}

void AskedShare::take(std::span<const std::byte> rows, const ExpertBlock& block) {
  const ggml_tensor* node = block.nodes.back().node;
  const size_t row = static_cast<size_t>(node->ne[0]) * sizeof(float);
  const size_t begin = begin_of(replied_).pairs;
  for (size_t i = begin; i < parts_[replied_].pairs; ++i) {
    std::byte* to = static_cast<std::byte*>(node->data) + pairs_[i] / block.used() * node->nb[2] +
                    pairs_[i] % block.used() * node->nb[1];
    std::memcpy(to, rows.data() + (i - begin) * row, row);
  }
  ++replied_;
}

std::span<const uint32_t> AskedShare::missing() const {
  return std::span(experts_).subspan(begin_of(replied_).experts);
}

}  // namespace hypura
