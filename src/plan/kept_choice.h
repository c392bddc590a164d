// How much RAM keys and values beyond the context get: as much as saves more time than it costs the weights there.
#pragma once

#include <cstdint>
#include <functional>

#include "plan/placement_problem.h"

namespace hypura {

// What the choice is made for: turns of an agent's conversation, of which some go on with one that has left the
// context, since others came between or the program was started again. Assumed.
inline constexpr uint32_t kTurnPrompt = 512;         // tokens that are new in it
inline constexpr uint32_t kTurnAnswer = 256;         // tokens
inline constexpr uint32_t kConversation = 8192;      // tokens, or the context where that is less
inline constexpr double kTurnsOfOthers = 1.0 / 4.0;  // of all turns

struct KeptTerms {
  uint64_t least = 0;                // bytes of entries in RAM, with which anything can be kept
  uint64_t in_work = 0;              // bytes besides, for what is being read and written
  uint64_t conversation = 0;         // bytes of one
  double computing = 0;              // seconds, of one
  double disk_bytes_per_second = 0;  // 0: none is kept there
};

struct KeptChoice {
  uint64_t most = 0;  // bytes of entries in RAM; 0: it does not pay to keep any
  uint64_t all = 0;   // with what is being read and written
  bool more_pays_not = false;
};

// `turn_seconds` of a turn when so many bytes are not there for weights; infinite: then the model does not fit. Of the
// least, twice that, and so on up to four conversations, the choice is what saves most in the mean of all turns, less
// what they lose. The longer ago a conversation was the less likely it is gone on with: each further one in RAM is
// taken to serve half of what those before it leave.
KeptChoice choose_kept(const KeptTerms& terms, const std::function<double(uint64_t bytes)>& turn_seconds);

// For `request`, whose budget is what weights and all else get without.
KeptChoice choose_kept(const OpenRequest& request);

}  // namespace hypura
