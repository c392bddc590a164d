// What is said of a model that is to be fetched, and while it comes. Pure functions.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <filesystem>
#include <optional>
#include <string>

#include "hypura/plan.h"
#include "hypura/result.h"
#include "store/fetch/fetch_model.h"
#include "store/fetch/remote_model.h"

namespace hypura {

// "hf.co/org/repo:Q4_K_M: 18.6 GiB in 2 files, of which 12.1 GiB are to be fetched; 210.4 GiB are free in /home/…".
// `free`: bytes where the model would lie; none: not known. `folder`: that it would lie in.
std::string size_sentence(const RemoteModel& model, uint64_t missing, std::optional<uint64_t> free,
                          const std::filesystem::path& folder);

// How it would run here, by its plan or by why there is none.
std::string would_run_sentence(const Result<Plan>& plan);

// Bytes a second over the last moments. Times are those of one clock that goes forward.
class RateMeter {
 public:
  using Seconds = std::chrono::duration<double>;

  void add(Seconds now, uint64_t bytes);
  // 0 as long as there is nothing to tell.
  double bytes_per_second() const;

 private:
  struct Reading {
    Seconds at;
    uint64_t bytes;
  };
  std::deque<Reading> readings_;
};

// "3.2 GiB of 18.6 GiB, 45.1 MiB/s, 5 min left", what stands in front of the bar.
std::string progress_words(const FetchProgress& progress, double bytes_per_second);

// "40 s", "5 min", "2 h 10 min".
std::string duration_words(double seconds);

}  // namespace hypura
