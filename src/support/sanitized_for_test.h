// For tests: whether this build has a sanitizer, which makes stack frames several times as large (address) or takes
// memory of its own.
#pragma once

namespace hypura {

#if defined(__SANITIZE_ADDRESS__)  // GCC
inline constexpr bool kAddressSanitized = true;
#elif defined(__has_feature)  // clang
inline constexpr bool kAddressSanitized = __has_feature(address_sanitizer);
#else
inline constexpr bool kAddressSanitized = false;
#endif

#if defined(__SANITIZE_THREAD__)  // GCC
inline constexpr bool kThreadSanitized = true;
#elif defined(__has_feature)  // clang
inline constexpr bool kThreadSanitized = __has_feature(thread_sanitizer);
#else
inline constexpr bool kThreadSanitized = false;
#endif

}  // namespace hypura
