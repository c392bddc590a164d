#include <CommonCrypto/CommonDigest.h>

#include <algorithm>
#include <array>

#include "store/fetch/sha256.h"

namespace hypura {

struct Sha256::State {
  CC_SHA256_CTX context;
};

Sha256::Sha256() : state_(std::make_unique<State>()) {
  CC_SHA256_Init(&state_->context);
}

Sha256::~Sha256() = default;
Sha256::Sha256(Sha256&&) noexcept = default;
Sha256& Sha256::operator=(Sha256&&) noexcept = default;

void Sha256::add(std::span<const uint8_t> bytes) {
  constexpr size_t kPiece = size_t{1} << 30;  // its lengths have 32 bits
  while (!bytes.empty()) {
    const std::span<const uint8_t> piece = bytes.first(std::min(bytes.size(), kPiece));
    CC_SHA256_Update(&state_->context, piece.data(), static_cast<CC_LONG>(piece.size()));
    bytes = bytes.subspan(piece.size());
  }
}

std::string Sha256::finish() {
  std::array<uint8_t, CC_SHA256_DIGEST_LENGTH> digest{};
  CC_SHA256_Final(digest.data(), &state_->context);
  return hexadecimal(digest);
}

}  // namespace hypura
