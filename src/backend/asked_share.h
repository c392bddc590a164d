// What one worker is asked for of a block: whole experts, in as many asks as it takes.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "backend/expert_block.h"
#include "backend/leased_experts.h"
#include "remote/worker_session.h"

namespace hypura {

class AskedShare {
 public:
  using Pairs = LeasedExperts::Pairs;

  // Nothing is asked for.
  void clear();

  // An expert of the layer; in the order in which they are computed there.
  void add(uint32_t expert) { experts_.push_back(expert); }

  // Those in `first` come first, in its order.
  void move_to_front(std::span<const uint32_t> first);

  std::span<const uint32_t> experts() const { return experts_; }
  size_t rows() const { return pairs_.size(); }

  // How the experts, and the rows that chose them by `pairs`, are divided into asks of at most `most_pairs`, which are
  // no fewer than the block has tokens.
  void divide(Pairs pairs, uint32_t most_pairs);

  size_t asks() const { return parts_.size(); }
  std::span<const uint32_t> experts_of(size_t ask) const;

  // The ask's pairs, each with its token's row among those that are sent. After find_tokens().
  void write_pairs(size_t ask, Pairs pairs, const ExpertBlock& block, std::span<std::byte> to) const;

  // Which tokens' rows are to be sent; ascending.
  std::span<const uint32_t> find_tokens(const ExpertBlock& block);
  uint32_t pairs_of(size_t ask) const;

  // --- replies, in the order of the asks ---

  // Whether nothing more is awaited.
  bool is_replied() const { return replied_ == parts_.size(); }

  // Puts the rows of the next reply where the block has them.
  void take(std::span<const std::byte> rows, const ExpertBlock& block);

  // The experts whose rows have not come.
  std::span<const uint32_t> missing() const;

 private:
  // Where an ask ends: the number of its last expert, and of its last pair, and one.
  struct Part {
    size_t experts = 0;
    size_t pairs = 0;
  };
  Part begin_of(size_t ask) const { return ask == 0 ? Part() : parts_[ask - 1]; }

  std::vector<uint32_t> experts_;
  std::vector<uint32_t> pairs_;  // of these, in their order
  std::vector<Part> parts_;
  std::vector<uint32_t> tokens_;
  std::vector<uint32_t> row_of_;  // by token
  size_t replied_ = 0;            // asks
};

}  // namespace hypura
