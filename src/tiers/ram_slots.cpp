#include "tiers/ram_slots.h"

#include <cstring>

#include "support/fail.h"
#include "tiers/direct_place.h"

namespace hypura {

Result<std::unique_ptr<RamSlots>> RamSlots::create(std::span<const ExpertLayer> layers, Reader& reader,
                                                   uint32_t slots) {
  auto memory = MemoryRegion::allocate(bytes_for(layers, slots));
  if (!memory) {
    return propagate(memory.error(), "the expert slots");
  }
  auto made = over(layers, reader, memory->span().first(bytes_for(layers, slots)));
  made->own_ = std::move(*memory);
  made->ahead_ = std::make_unique<PagesAhead>(made->own_.span());
  return made;
}

std::unique_ptr<RamSlots> RamSlots::over(std::span<const ExpertLayer> layers, Reader& reader,
                                         std::span<std::byte> memory) {
  std::unique_ptr<RamSlots> made(new RamSlots(layers, reader));
  made->memory_ = memory.data();
  made->bytes_ = memory.size();
  reader.register_memory(memory);
  return made;
}

RamSlots::~RamSlots() {
  if (own_.size() > 0) {
    ahead_.reset();
    reader_.forget_memory({memory_, bytes_});
  }
}

TierSlots::Fill RamSlots::fill(uint32_t slot, LayerExpert source, Priority priority) {
  const std::vector<ExpertPart>& parts = layers_[source.layer].parts;
  const std::span<const SlotPlace> places = layout_.places(source.layer);
  requests_.clear();
  for (size_t part = 0; part < parts.size(); ++part) {
    requests_.push_back(read_into(data(slot) + places[part].begin, parts[part].tensor->expert_extent(source.expert)));
  }
  return {source, slot, reader_.submit(requests_, priority)};
}

void RamSlots::realign(const Fill& fill) {
  const std::vector<ExpertPart>& parts = layers_[fill.source.layer].parts;
  const std::span<const SlotPlace> places = layout_.places(fill.source.layer);
  for (size_t part = 0; part < parts.size(); ++part) {
    if (places[part].needs_realign) {
      std::byte* place = data(fill.slot) + places[part].begin;
      const uint64_t arrived = data_offset(parts[part].tensor->expert_extent(fill.source.expert));
      std::memmove(place + places[part].data_offset, place + arrived, parts[part].slice_bytes);
    }
  }
}

void RamSlots::move(uint32_t from, uint32_t to) {
  std::memcpy(data(to), data(from), layout_.stride());
}

void RamSlots::resize(uint32_t slots) {
  const uint64_t bytes = slots * layout_.stride();
  if (bytes < bytes_) {
    ahead_.reset();  // it would take them again
    reader_.forget_memory({memory_ + bytes, bytes_ - bytes});
    own_.give_back(bytes, bytes_ - bytes);
  } else if (bytes > bytes_) {
    const std::span<std::byte> more(memory_ + bytes_, bytes - bytes_);
    reader_.register_memory(more);
    ahead_ = std::make_unique<PagesAhead>(more);
  }
  bytes_ = bytes;
}

}  // namespace hypura
