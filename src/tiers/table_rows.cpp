#include "tiers/table_rows.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "support/fail.h"
#include "tiers/direct_place.h"

namespace hypura {

namespace {

// As many rows are on their way at a time, or more where they touch: twice what the reader keeps in flight, and of a
// small table no more than a sixteenth of its bytes.
constexpr uint64_t kMostStaged = 2 * ReaderOptions{}.depth;
constexpr uint64_t kLeastStaged = 8;
constexpr uint64_t kStagedShare = 16;

uint64_t row_bytes(const TableItem& table) {
  return table.tensor->extent.length / static_cast<uint64_t>(table.tensor->shape[1]);
}

uint64_t staging_bytes(const TableItem& table) {
  const uint64_t place = place_capacity(row_bytes(table));
  return place * std::clamp(table.tensor->extent.length / kStagedShare / place, kLeastStaged, kMostStaged);
}

uint64_t cache_bytes(const TableItem& table) {
  return round_up(table.slots * row_bytes(table), kDirectAlignment);
}

}  // namespace

uint64_t TableRows::bytes_for(const TableItem& table) {
  return cache_bytes(table) + staging_bytes(table);
}

TableRows::TableRows(const TableItem& table, Reader& reader, StoreStats& stats,
                     std::function<const std::byte*(int64_t row)> in_memory, std::function<void()> before_blocking)
    : table_(table),
      row_bytes_(row_bytes(table)),
      reader_(reader),
      stats_(stats),
      in_memory_(std::move(in_memory)),
      before_blocking_(std::move(before_blocking)),
      cache_(table.slots) {}

Result<std::unique_ptr<TableRows>> TableRows::create(const TableItem& table, Reader& reader, StoreStats& stats,
                                                     std::function<const std::byte*(int64_t row)> in_memory,
                                                     std::function<void()> before_blocking) {
  std::unique_ptr<TableRows> rows(
      new TableRows(table, reader, stats, std::move(in_memory), std::move(before_blocking)));
  for (auto& [memory, bytes] :
       {std::pair(&rows->cache_memory_, cache_bytes(table)), std::pair(&rows->staging_, staging_bytes(table))}) {
    auto region = MemoryRegion::allocate(bytes);
    if (!region) {
      return propagate(region.error(), "rows of tables");
    }
    *memory = std::move(*region);
  }
  reader.register_memory(rows->staging_.span());
  return rows;
}

TableRows::~TableRows() {
  if (reading_ != 0) {
    reader_.cancel(reading_);
    static_cast<void>(end_reads());  // nobody asks for them any more
  }
}

void TableRows::expect(std::span<const int32_t> rows) {
  if (end_reads() && std::ranges::all_of(rows, [this](int32_t row) { return has(row); })) {
    begin_reads(find_missing(rows.first(std::min<size_t>(rows.size(), cache_.slots()))));
  }
}

// Of `rows`, no more than there are slots: those that are to be read, ascending. The others are in their slots, and
// none of those read takes their places.
std::span<const int32_t> TableRows::find_missing(std::span<const int32_t> rows) {
  missing_.assign(rows.begin(), rows.end());
  std::ranges::sort(missing_);
  missing_.erase(std::unique(missing_.begin(), missing_.end()), missing_.end());
  std::erase_if(missing_, [this](int32_t row) { return cache_.holds(row) && cache_.use(row).held; });
  std::erase_if(missing_, [this](int32_t row) {
    const std::byte* data = in_memory_ ? in_memory_(row) : nullptr;
    if (data != nullptr) {
      std::memcpy(slot_memory(cache_.use(row).slot), data, row_bytes_);
    }
    return data != nullptr;
  });
  return missing_;
}

// Of `missing`, which ascends and is in no slot, as many rows as there is staging memory for; gives how many.
size_t TableRows::begin_reads(std::span<const int32_t> missing) {
  std::vector<ReadRequest> requests;
  std::byte* place = staging_.data();
  const std::byte* end = place + staging_.size();
  const Extent& table = table_.tensor->extent;
  const auto offset_of = [&](int32_t row) { return table.offset + static_cast<uint64_t>(row) * row_bytes_; };
  size_t begun = 0;
  while (begun < missing.size()) {
    const uint64_t offset = offset_of(missing[begun]);
    size_t next = begun + 1;
    uint64_t length = row_bytes_;
    while (next < missing.size()) {  // as long as the next row's first block is this read's last, or behind it
      const uint64_t longer = offset_of(missing[next]) + row_bytes_ - offset;
      const bool touches =
          round_down(offset_of(missing[next]), kDirectAlignment) <= round_up(offset + length, kDirectAlignment);
      if (!touches || place + place_capacity(longer) > end) {
        break;
      }
      length = longer;
      ++next;
    }
    if (place + place_capacity(length) > end) {
      break;
    }
    const ReadRequest read = read_into(place, {table.file, offset, length});
    requests.push_back(read);
    for (; begun < next; ++begun) {
      const int32_t row = missing[begun];
      arriving_.push_back({row, slot_memory(cache_.use(row).slot), read.destination + (offset_of(row) - offset)});
    }
    place += place_capacity(length);
  }
  if (!requests.empty()) {
    reading_ = reader_.submit(requests, Priority::kDemand);
    stats_.table_reads += begun;
  }
  return begun;
}

// Waits for what is under way, and puts it into its slots.
Status TableRows::end_reads() {
  if (reading_ == 0) {
    return {};
  }
  const auto start = std::chrono::steady_clock::now();
  if (!reader_.finished(reading_)) {
    before_blocking_();
  }
  Status status = reader_.wait(std::exchange(reading_, 0));
  add_seconds(stats_.io_wait_seconds, start);
  for (const Arriving& it : arriving_) {
    if (status) {
      std::memcpy(it.slot, it.staged, row_bytes_);
    } else {
      cache_.drop(it.row);
    }
  }
  arriving_.clear();
  return status;
}

Result<size_t> TableRows::look_up(std::span<const int32_t> rows, std::span<int32_t> slots) {
  static_cast<void>(end_reads());  // what failed is missing, and is read again
  rows = rows.first(std::min<size_t>(rows.size(), cache_.slots()));
  if (const auto bad = std::ranges::find_if_not(rows, [this](int32_t row) { return has(row); }); bad != rows.end()) {
    return fail(ErrorCode::kInternal, "{}: there is no row {}", table_.tensor->name, *bad);
  }
  stats_.table_lookups += rows.size();
  for (std::span<const int32_t> missing = find_missing(rows); !missing.empty();) {
    missing = missing.subspan(begin_reads(missing));
    if (Status status = end_reads(); !status) {
      return propagate(status.error(), table_.tensor->name);
    }
  }
  for (size_t i = 0; i < rows.size(); ++i) {
    slots[i] = static_cast<int32_t>(cache_.use(rows[i]).slot);
  }
  return rows.size();
}

}  // namespace hypura
