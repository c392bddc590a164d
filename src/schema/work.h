// What one schema may cost.
#pragma once

#include <cstdint>

namespace hypura::schema {

// Counts elementary steps, some ten nanoseconds each, so that no schema, however it is made, keeps a thread for long.
class Work {
 public:
  explicit Work(uint64_t steps = 10'000'000) : left_(steps) {}

  void spend(uint64_t steps) { left_ -= steps < left_ ? steps : left_; }
  bool spent() const { return left_ == 0; }

 private:
  uint64_t left_;
};

}  // namespace hypura::schema
