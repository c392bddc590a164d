#include "cli/inspect/facts.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "cli/inspect/words.h"

namespace hypura {

namespace {

int64_t elements(const TensorInfo& tensor) {
  return tensor.shape[0] * tensor.shape[1] * tensor.shape[2] * tensor.shape[3];
}

// Makes lines from tensors; `Tensor` has a role, `measure` gives its bytes and `way` how it is kept.
template <class Tensors, class Measure, class Way>
std::vector<RoleLine> sum_roles(const Tensors& tensors, const Measure& measure, const Way& way) {
  std::map<TensorRole, RoleLine> lines;
  for (const auto& tensor : tensors) {
    RoleLine& line = lines[tensor.role];
    line.role = tensor.role;
    ++line.tensors;
    line.bytes += measure(tensor);
    const std::string name = way(tensor);
    if (!name.empty() && std::find(line.ways.begin(), line.ways.end(), name) == line.ways.end()) {
      line.ways.push_back(name);
    }
  }
  std::vector<RoleLine> ordered;
  for (auto& [role, line] : lines) {
    ordered.push_back(std::move(line));
  }
  return ordered;
}

}  // namespace

std::vector<TypeShare> type_shares(const Model& model) {
  std::map<int, TypeShare> by_type;
  for (const TensorInfo& tensor : model.tensors) {
    TypeShare& share = by_type[tensor.type];
    ++share.tensors;
    share.parameters += elements(tensor);
    share.bytes += tensor.extent.length;
  }
  std::vector<TypeShare> shares;
  for (auto& [type, share] : by_type) {
    share.type = type_name(type);
    shares.push_back(std::move(share));
  }
  std::stable_sort(shares.begin(), shares.end(), [](const auto& a, const auto& b) { return a.bytes > b.bytes; });
  return shares;
}

int64_t active_parameters(const Model& model) {
  int64_t active = 0;
  for (const TensorInfo& tensor : model.tensors) {
    const int64_t experts = tensor.experts();
    const int64_t all = elements(tensor);
    active += experts > 0 ? all / experts * std::min(experts, model.experts_used) : all;
  }
  return active;
}

double TierBytes::kept() const {
  return total() > 0 ? static_cast<double>(device + ram) / static_cast<double>(total()) : 1.0;
}

TierBytes& TierBytes::operator+=(const TierBytes& other) {
  device += other.device;
  ram += other.ram;
  disk += other.disk;
  return *this;
}

TierBytes tier_bytes(const PlacedTensor& tensor) {
  const auto part = [&](double share, uint64_t most) {
    const double bytes = std::clamp(share, 0.0, 1.0) * static_cast<double>(tensor.bytes);
    return std::min(static_cast<uint64_t>(std::llround(bytes)), most);
  };
  TierBytes bytes;
  bytes.device = part(tensor.device_share, tensor.bytes);
  bytes.ram = part(tensor.ram_share, tensor.bytes - bytes.device);
  bytes.disk = tensor.bytes - bytes.device - bytes.ram;
  return bytes;
}

std::string where_words(const PlacedTensor& tensor) {
  const TierBytes bytes = tier_bytes(tensor);
  const auto share = [&](uint64_t part, Tier tier) {
    return fmt::format("{} {}", percent_words(static_cast<double>(part) / static_cast<double>(bytes.total())),
                       to_string(tier));
  };
  std::string place = to_string(bytes.device > 0 ? Tier::kDevice : bytes.ram > 0 ? Tier::kRam : Tier::kDisk);
  if (bytes.device > 0 && bytes.device < bytes.total()) {
    place = share(bytes.device, Tier::kDevice) + (bytes.ram > 0 ? ", " + share(bytes.ram, Tier::kRam) : "");
  } else if (bytes.ram > 0 && bytes.ram < bytes.total()) {
    place = share(bytes.ram, Tier::kRam);
  }
  return fmt::format("{}, {}", place, to_string(tensor.way));
}

std::vector<RoleLine> role_lines(const Plan& plan) {
  return sum_roles(plan.tensors, tier_bytes,
                   [](const PlacedTensor& tensor) { return std::string(to_string(tensor.way)); });
}

std::vector<RoleLine> role_lines(const Model& model) {
  return sum_roles(
      model.tensors,
      [](const TensorInfo& tensor) {
        return TierBytes{0, 0, tensor.extent.length};
      },
      [](const TensorInfo&) { return std::string(); });
}

std::string slot_words(const Plan& plan, const Model& model) {
  const std::vector<uint32_t>& slots = plan.placement.experts.layer_slots;
  const auto [least, most] = std::minmax_element(slots.begin(), slots.end());
  if (least == slots.end() || *most == 0) {
    return {};
  }
  const std::string range = *least == *most ? fmt::format("{}", *most) : fmt::format("{} to {}", *least, *most);
  return fmt::format("{} of {} experts a layer", range, model.experts);
}

}  // namespace hypura
