// Errors made and passed on.
#pragma once

#include <fmt/format.h>

#include <string_view>
#include <utility>

#include "hypura/result.h"

namespace hypura {

// An error with a formatted message, ready to be returned from a function that gives Result<T>.
template <class... Args>
tl::unexpected<Error> fail(ErrorCode code, fmt::format_string<Args...> format, Args&&... args) {
  return tl::make_unexpected(Error{code, fmt::format(format, std::forward<Args>(args)...)});
}

// Passes an error on unchanged.
inline tl::unexpected<Error> propagate(Error error) {
  return tl::make_unexpected(std::move(error));
}

// Passes an error on with the caller's context in front: "context: message".
inline tl::unexpected<Error> propagate(const Error& error, std::string_view context) {
  return tl::make_unexpected(Error{error.code, fmt::format("{}: {}", context, error.message)});
}

}  // namespace hypura
