#include "llama/open/tensor_feed.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "support/fail.h"
#include "support/memory/huge_pages.h"
#include "support/units.h"

namespace hypura {

namespace {

constexpr size_t kLargeDestination = 4ULL << 20;

}  // namespace

Result<std::unique_ptr<TensorFeed>> TensorFeed::create(const VirtualHeader& header, Reader& reader) {
  std::unique_ptr<TensorFeed> feed(new TensorFeed(header, reader));
  constexpr uint64_t kWithEnds = kBlockBytes + 2 * kDirectAlignment;
  auto memory = MemoryRegion::allocate(2 * kWithEnds);
  if (!memory) {
    return propagate(memory.error(), "the buffers for loading");
  }
  feed->memory_ = std::move(*memory);
  feed->now_.memory = feed->memory_.data();
  feed->next_.memory = feed->memory_.data() + kWithEnds;
  return feed;
}

TensorFeed::~TensorFeed() {
  forget(now_);
  forget(next_);
}

// The last tensor that begins at or before `offset`; nullptr before the first.
const VirtualTensor* TensorFeed::tensor_at(uint64_t offset) const {
  const auto after = std::ranges::upper_bound(header_.tensors, offset, {}, &VirtualTensor::offset);
  return after == header_.tensors.begin() ? nullptr : &*std::prev(after);
}

bool TensorFeed::gives(uint64_t offset) const {
  const VirtualTensor* tensor = tensor_at(offset);
  return tensor == nullptr || tensor->given;
}

std::byte* TensorFeed::data_of(const Block& block) {
  const uint64_t offset = block.tensor->extent.offset + block.begin;
  return block.memory + kDirectAlignment + offset % kDirectAlignment;
}

void TensorFeed::begin_read(Block& block, const VirtualTensor& tensor, uint64_t begin) {
  forget(block);
  block.tensor = &tensor;
  block.begin = begin;
  // The block's memory has a page to spare at each end, of which the offset in its page may take one.
  block.length = std::min(kBlockBytes - kDirectAlignment, tensor.extent.length - begin);
  const uint64_t offset = tensor.extent.offset + begin;
  const ReadRequest request{tensor.extent.file, offset, block.length, data_of(block)};
  block.group = reader_.submit({&request, 1}, Priority::kDemand);
}

void TensorFeed::forget(Block& block) {
  if (block.group != 0) {
    reader_.cancel(block.group);
    static_cast<void>(reader_.wait(block.group));  // nobody wants these bytes any more
  }
  block = {.memory = block.memory};
}

// Makes now_ the block that has byte `at` of the tensor, and lets the one after it be read.
Status TensorFeed::load(const VirtualTensor& tensor, uint64_t at) {
  const auto has = [&](const Block& block) {
    return block.tensor == &tensor && at >= block.begin && at < block.begin + block.length;
  };
  if (!has(now_)) {
    if (has(next_)) {
      std::swap(now_, next_);
    } else {
      begin_read(now_, tensor, at);
    }
    const uint64_t end = now_.begin + now_.length;
    if (end < tensor.extent.length) {
      begin_read(next_, tensor, end);
    }
  }
  return now_.group != 0 ? reader_.wait(std::exchange(now_.group, 0)) : Status();
}

int64_t TensorFeed::read(uint64_t offset, char* to, size_t bytes) {
  if (bytes >= kLargeDestination) {
    advise_huge_pages(reinterpret_cast<std::byte*>(to), bytes);
  }
  size_t done = 0;
  while (done < bytes) {
    const VirtualTensor* tensor = tensor_at(offset + done);
    if (tensor == nullptr || offset + done >= header_.file_size) {
      break;
    }
    const uint64_t at = offset + done - tensor->offset;
    if (at >= tensor->extent.length) {  // up to the next tensor
      const size_t padding = std::min<uint64_t>(bytes - done, round_up(at + 1, kVirtualAlignment) - at);
      std::memset(to + done, 0, padding);
      done += padding;
      continue;
    }
    if (Status status = load(*tensor, at); !status) {
      error_ = status.error();
      forget(now_);
      return -1;
    }
    const size_t count = std::min<uint64_t>(bytes - done, now_.begin + now_.length - at);
    std::memcpy(to + done, data_of(now_) + (at - now_.begin), count);
    done += count;
  }
  return static_cast<int64_t>(done);
}

}  // namespace hypura
