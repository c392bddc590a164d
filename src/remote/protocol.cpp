#include "remote/protocol.h"

#include <fmt/format.h>

#include <algorithm>

#include "support/printable.h"

namespace hypura {

namespace {

template <size_t N>
void put(std::array<char, N>& to, std::string_view text) {
  std::copy_n(text.begin(), std::min(text.size(), N - 1), to.begin());
}

// As far as a zero; a peer's may have none.
template <size_t N>
std::string text_of(const std::array<char, N>& from) {
  return printable({from.begin(), std::find(from.begin(), from.end(), '\0')});
}

}  // namespace

WorkerIdentity worker_identity(uint64_t fingerprint, bool repacked, std::string_view llama, std::string_view cpu) {
  WorkerIdentity identity;
  identity.repacked = repacked ? 1 : 0;
  identity.fingerprint = fingerprint;
  put(identity.hypura, HYPURA_VERSION);
  put(identity.llama, llama);
  put(identity.cpu, cpu);
  return identity;
}

std::string hello_refusal(const WorkerIdentity& worker, const WorkerHello& hello) {
  const WorkerIdentity& peer = hello.identity;
  if (peer.protocol != worker.protocol) {
    return fmt::format(
        "the worker speaks version {} of the protocol (Hypura {}), and what asks speaks {}: install the "
        "same Hypura on both machines",
        worker.protocol, text_of(worker.hypura), peer.protocol);
  }
  if (peer.fingerprint != worker.fingerprint) {
    return "the worker has another model, or another version of its file: give both the same file";
  }
  if (text_of(peer.llama) != text_of(worker.llama)) {
    return fmt::format(
        "the worker computes with ggml {}, and what asks with {}: install the same Hypura on both "
        "machines",
        text_of(worker.llama), text_of(peer.llama));
  }
  if (peer.repacked != worker.repacked) {
    return fmt::format(
        "{} reads a repacked copy of the model, and {} does not, so that results would differ in their "
        "last bits: run `hypura repack` where there is none, or give --no-repacked where there is one",
        worker.repacked != 0 ? "the worker" : "what asks", worker.repacked != 0 ? "what asks" : "the worker");
  }
  if (text_of(peer.cpu) != text_of(worker.cpu) && hello.any_cpu == 0) {
    return fmt::format(
        "the worker's processor has other kernels ({}) than that of what asks ({}), so that results "
        "would differ in their last bits",
        text_of(worker.cpu), text_of(peer.cpu));
  }
  return {};
}

}  // namespace hypura
