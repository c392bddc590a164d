// What inspect says of a model and its plan beyond what they state themselves: sums by type, role and tier. Pure
// functions.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "hypura/plan.h"
#include "hypura/profile.h"
#include "hypura/result.h"
#include "model/model.h"

namespace hypura {

// All that is shown. Borrows what it points to.
struct InspectView {
  const Model& model;
  const Plan* plan = nullptr;               // none: it could not be made, see `error`
  const MachineProfile* machine = nullptr;  // none: this machine was not measured
  const Error* error = nullptr;             // why there is no plan
};

// The tensors of one ggml type.
struct TypeShare {
  std::string type;
  uint64_t tensors = 0;
  int64_t parameters = 0;
  uint64_t bytes = 0;
};

// The largest first.
std::vector<TypeShare> type_shares(const Model& model);

// Parameters that one token is multiplied with: all but those of routed experts, and of these experts_used in each
// layer. Embedding tables count in full, as model cards have it.
int64_t active_parameters(const Model& model);

// Bytes by the place they are kept in; `disk` are those that are kept nowhere and read when needed.
struct TierBytes {
  uint64_t device = 0;
  uint64_t ram = 0;
  uint64_t disk = 0;

  uint64_t total() const { return device + ram + disk; }
  // The share that is not on disk; 1 of nothing.
  double kept() const;
  TierBytes& operator+=(const TierBytes& other);
};

TierBytes tier_bytes(const PlacedTensor& tensor);

// "RAM, pinned", "12 % RAM, slots", "25 % device, 50 % RAM, slots", "disk, ring".
std::string where_words(const PlacedTensor& tensor);

// The tensors of one role.
struct RoleLine {
  TensorRole role = TensorRole::kOther;
  uint64_t tensors = 0;
  TierBytes bytes;
  std::vector<std::string> ways;  // the different ones, in order of appearance
};

// The roles that have tensors, in the order of their numbers.
std::vector<RoleLine> role_lines(const Plan& plan);

// The same, of a model that has no plan: all bytes on disk, no ways.
std::vector<RoleLine> role_lines(const Model& model);

// "12 of 128 experts a layer", or "8 to 14 of 128 experts a layer"; empty when no expert has a slot.
std::string slot_words(const Plan& plan, const Model& model);

}  // namespace hypura
