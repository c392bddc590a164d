// SHA-256 of bytes that come in pieces: libcrypto's on Linux, the system's own on macOS.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace hypura {

// Not thread-safe.
class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(Sha256&&) noexcept;
  Sha256& operator=(Sha256&&) noexcept;

  void add(std::span<const uint8_t> bytes);
  // 64 hexadecimal digits of all that was added. The object is then spent.
  std::string finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// Whether the text is 64 hexadecimal digits in lower case.
bool is_sha256(std::string_view text);

// `bytes` as hexadecimal digits in lower case.
std::string hexadecimal(std::span<const uint8_t> bytes);

}  // namespace hypura
