// Errors as values. A function that can fail returns Result<T> (or Status when there is nothing to return); the error
// is one sentence a user can act on, and a code that decides the exit status or the HTTP status.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <tl/expected.hpp>

namespace hypura {

// The kind of failure. The numbers are the program's exit codes (docs/guide/cli.md) and never change.
enum class ErrorCode {
  kInternal = 1,     // a fault of ours, or of a library below us
  kUsage = 2,        // the caller's flags, fields or values are invalid
  kBadModel = 3,     // the model file is damaged, unsupported or missing a part
  kBudget = 4,       // the memory budget cannot hold what must stay resident
  kIo = 5,           // a file could not be opened, or a read failed or came up short
  kContextFull = 6,  // the prompt does not fit the context
  kCancelled = 7,    // the user stopped it
  kBusy = 8,         // the queue is full; try again later
};

// By how much a prompt does not fit.
struct Overflow {
  uint64_t tokens = 0;     // of the prompt
  bool estimated = false;  // `tokens` is an estimate: the text is too long to be counted
  uint64_t limit = 0;      // tokens of the context
};

// One failure. `message` names the file, tensor, flag or request, what failed, and where possible what to do.
struct Error {
  ErrorCode code = ErrorCode::kInternal;
  std::string message;
  std::optional<Overflow> overflow = {};  // with kContextFull, where known
};

template <class T>
using Result = tl::expected<T, Error>;
using Status = Result<void>;

}  // namespace hypura
