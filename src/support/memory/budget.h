// The memory that may be used, and what of it is.
//
// Every large allocation holds a reservation, made before it and given back after it. So the ledger is the list of live
// reservations, and cannot disagree with what is allocated.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <utility>
#include <vector>

#include "hypura/memory.h"
#include "hypura/result.h"

namespace hypura {

class Budget;

// A part of a budget, until it is destroyed. Belongs to one thread at a time; must not outlive its budget.
class Reservation {
 public:
  Reservation() = default;  // of nothing
  ~Reservation() { release(); }
  Reservation(Reservation&& other) noexcept;
  Reservation& operator=(Reservation&& other) noexcept;
  Reservation(const Reservation&) = delete;
  Reservation& operator=(const Reservation&) = delete;

  uint64_t bytes() const { return bytes_; }

  // For what was reserved by an estimate and turned out to be of another size. The memory is taken already, so this
  // never fails: a budget that it exceeds only refuses what is asked for later.
  void correct(uint64_t bytes);

  void release();

 private:
  friend class Budget;
  Reservation(Budget& budget, Purpose purpose, Tier tier, uint64_t bytes)
      : budget_(&budget), purpose_(purpose), tier_(tier), bytes_(bytes) {}

  Budget* budget_ = nullptr;  // null: of nothing
  Purpose purpose_{};
  Tier tier_ = Tier::kRam;
  uint64_t bytes_ = 0;
};

// Thread-safe.
class Budget {
 public:
  // Bytes that may be reserved on each tier; none on disk.
  explicit Budget(uint64_t ram, uint64_t device = 0);
  Budget(const Budget&) = delete;
  Budget& operator=(const Budget&) = delete;

  // Fails with kBudget, naming purpose, tier and what is taken, when so much is not left.
  Result<Reservation> reserve(Purpose purpose, Tier tier, uint64_t bytes);

  uint64_t limit(Tier tier) const;
  // From now on. What is reserved stays, though it be more.
  void set_ram_limit(uint64_t bytes);
  uint64_t reserved(Tier tier) const;

  // What is reserved now, a line for each purpose and tier, in the order of the purposes.
  std::vector<LedgerLine> ledger() const;

 private:
  friend class Reservation;
  using Key = std::pair<Purpose, Tier>;
  struct Sum {
    size_t reservations = 0;
    uint64_t bytes = 0;
  };

  void replace(const Key& key, uint64_t before, uint64_t bytes);
  void give_back(const Key& key, uint64_t bytes);
  uint64_t limit_locked(Tier tier) const;  // with the lock held, as what follows
  uint64_t taken(Tier tier) const;

  mutable std::mutex mutex_;        // guards what follows
  std::array<uint64_t, 2> limits_;  // by tier
  std::map<Key, Sum> sums_;
};

}  // namespace hypura
