// For tests: whether this build has the address sanitizer, which makes stack frames several times as large.
#pragma once

namespace hypura {

#if defined(__SANITIZE_ADDRESS__)  // GCC
inline constexpr bool kAddressSanitized = true;
#elif defined(__has_feature)  // clang
inline constexpr bool kAddressSanitized = __has_feature(address_sanitizer);
#else
inline constexpr bool kAddressSanitized = false;
#endif

}  // namespace hypura
