#include "support/memory/budget.h"

#include "support/fail.h"
#include "support/units.h"

namespace hypura {

Reservation::Reservation(Reservation&& other) noexcept
    : budget_(std::exchange(other.budget_, nullptr)),
      purpose_(other.purpose_),
      tier_(other.tier_),
      bytes_(std::exchange(other.bytes_, 0)) {}

Reservation& Reservation::operator=(Reservation&& other) noexcept {
  if (this != &other) {
    release();
    budget_ = std::exchange(other.budget_, nullptr);
    purpose_ = other.purpose_;
    tier_ = other.tier_;
    bytes_ = std::exchange(other.bytes_, 0);
  }
  return *this;
}

void Reservation::correct(uint64_t bytes) {
  if (budget_ != nullptr) {
    budget_->replace({purpose_, tier_}, std::exchange(bytes_, bytes), bytes);
  }
}

void Reservation::release() {
  if (budget_ != nullptr) {
    std::exchange(budget_, nullptr)->give_back({purpose_, tier_}, std::exchange(bytes_, 0));
  }
}

Budget::Budget(uint64_t ram, uint64_t device) : limits_{device, ram} {}

Result<Reservation> Budget::reserve(Purpose purpose, Tier tier, uint64_t bytes) {
  const std::lock_guard lock(mutex_);
  const uint64_t most = limit_locked(tier);
  const uint64_t used = taken(tier);
  if (used > most || bytes > most - used) {
    return fail(ErrorCode::kBudget, "{} for {} do not fit: of {} in {} {} are taken", format_bytes(bytes),
                to_string(purpose), format_bytes(most), to_string(tier), format_bytes(used));
  }
  Sum& sum = sums_[{purpose, tier}];
  ++sum.reservations;
  sum.bytes += bytes;
  return Reservation(*this, purpose, tier, bytes);
}

uint64_t Budget::limit(Tier tier) const {
  const std::lock_guard lock(mutex_);
  return limit_locked(tier);
}

uint64_t Budget::limit_locked(Tier tier) const {
  return tier == Tier::kDisk ? 0 : limits_[static_cast<size_t>(tier)];
}

void Budget::set_ram_limit(uint64_t bytes) {
  const std::lock_guard lock(mutex_);
  limits_[static_cast<size_t>(Tier::kRam)] = bytes;
}

uint64_t Budget::reserved(Tier tier) const {
  const std::lock_guard lock(mutex_);
  return taken(tier);
}

std::vector<LedgerLine> Budget::ledger() const {
  const std::lock_guard lock(mutex_);
  std::vector<LedgerLine> lines;
  lines.reserve(sums_.size());
  for (const auto& [key, sum] : sums_) {
    lines.push_back({key.first, sum.bytes, {}, key.second});
  }
  return lines;
}

void Budget::replace(const Key& key, uint64_t before, uint64_t bytes) {
  const std::lock_guard lock(mutex_);
  Sum& sum = sums_[key];
  sum.bytes = sum.bytes - before + bytes;
}

void Budget::give_back(const Key& key, uint64_t bytes) {
  const std::lock_guard lock(mutex_);
  const auto it = sums_.find(key);
  it->second.bytes -= bytes;
  if (--it->second.reservations == 0) {
    sums_.erase(it);
  }
}

uint64_t Budget::taken(Tier tier) const {
  uint64_t bytes = 0;
  for (const auto& [key, sum] : sums_) {
    bytes += key.second == tier ? sum.bytes : 0;
  }
  return bytes;
}

}  // namespace hypura
