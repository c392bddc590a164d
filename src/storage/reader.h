// Asynchronous reads over the files of one model: the only way weights come from disk.
//
// Reads are grouped: a group is submitted at once and waited for as one. Groups of higher priority are issued first;
// within a priority, in the order of submission. No thread of ours runs on the io_uring path: the kernel moves the
// bytes while the caller computes, and queued chunks are issued whenever the caller enters the reader. (A thread that
// waits for completions would take a core from ggml's spinning barriers.)
//
// Every function may be called from any thread; calls are serialised by a lock inside.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "hypura/result.h"

namespace hypura {

// Direct reads move whole blocks of this many bytes, to addresses that are a multiple of it.
inline constexpr uint64_t kDirectAlignment = 4096;

// `length` bytes at `offset` of file number `file`, to `destination`.
//
// The reader moves whole blocks, so: destination and offset must be equal modulo kDirectAlignment, and the bytes from
// the block before to the block after the destination must be the caller's: they are overwritten with the neighbouring
// bytes of the file (or left alone, past the file's end). This holds with and without direct I/O. `length` 0 is
// allowed.
struct ReadRequest {
  uint32_t file = 0;
  uint64_t offset = 0;
  uint64_t length = 0;
  std::byte* destination = nullptr;
};

enum class Priority { kDemand, kPrefetch };

// A submitted group. Never 0, never used twice.
using ReadGroup = uint64_t;

struct ReaderOptions {
  bool direct = true;              // try direct I/O; on refusal fall back to buffered, with a notice
  bool force_threads = false;      // the pread pool even where io_uring works (tests, comparison)
  uint64_t chunk_bytes = 1 << 20;  // largest single read; a multiple of kDirectAlignment, at most 1 GiB
  uint32_t depth = 64;             // most chunks in flight at once, 1 to 4096
  uint32_t prefetch_depth = 16;    // most chunks in flight of priority kPrefetch
  uint32_t threads = 4;            // of the pread pool
};

// Counters since the reader was opened. They count what the kernel reported, not what was asked for. On io_uring a
// completion is noticed when some thread next enters the reader, so that busy_seconds, which includes the time until
// then, is the most that the disk was busy: near the truth where computing waits for reads, far above it where it does
// not.
struct ReaderStats {
  uint64_t demand_bytes = 0;    // delivered for groups submitted as kDemand, blocks around the ends included
  uint64_t prefetch_bytes = 0;  // the same for kPrefetch (a group counts by the priority it was submitted with)
  uint64_t chunks = 0;          // reads issued, repeated ones included
  double busy_seconds = 0;      // time in which at least one read was not known to have ended
  double wait_seconds = 0;      // time spent inside wait(), summed over threads
  // Delivered from each copy: the files themselves, then each mirror. Empty without mirrors.
  std::vector<uint64_t> copy_bytes;
};

// A copy of the files that a reader reads: a path for each of them, empty where it lacks that file.
using Mirror = std::vector<std::filesystem::path>;

class Reader {
 public:
  // Opens the files for reading. Probes direct I/O with a real aligned read of each file (they may lie on different
  // disks); those that refuse are read buffered. Fails with kIo, naming the file, or with kUsage for bad options.
  //
  // With mirrors, each chunk is read from the copy that should be done with it first (storage/mirror_choice.h); their
  // speeds are measured for some milliseconds here and then from what is read. They must have the same bytes
  // (storage/mirror_files.h). What fails on a mirror is read from the file itself, and the mirror no more.
  static Result<std::unique_ptr<Reader>> open(const std::vector<std::filesystem::path>& files,
                                              const ReaderOptions& options, const std::vector<Mirror>& mirrors = {});

  virtual ~Reader() = default;  // cancels what is queued and waits for what is in flight

  // Queues the requests as one group and issues as much as the depth allows. An empty group is finished at once.
  virtual ReadGroup submit(std::span<const ReadRequest> requests, Priority priority) = 0;

  // Whether every read of the group has ended, well or badly. Collects completions and issues queued chunks; never
  // blocks on io_uring. Asking about a group that was already waited for is a caller's error and gives false.
  virtual bool finished(ReadGroup group) = 0;

  // From now on the group is issued as one of kDemand is, behind those that were submitted before it. Its bytes count
  // as they were submitted.
  virtual void promote(ReadGroup group) = 0;

  // Blocks until the group has ended and forgets it; on error nothing may be assumed about the destinations, but no
  // read of the group is in flight any more. Fails with kIo, naming file and offset, when a read failed or came up
  // short (the file ends before the last requested byte), and with kInternal when a request breaks the rules of
  // ReadRequest or the group was waited for before. While waiting for a kPrefetch group it is treated as demand.
  virtual Status wait(ReadGroup group) = 0;

  // Collects completions and issues queued chunks without blocking.
  virtual void poll() = 0;

  // Drops the group's chunks that are not issued yet. The group still has to be waited for; then it fails with
  // kCancelled unless everything had already been issued.
  virtual void cancel(ReadGroup group) = 0;

  // Names memory that will be a destination many times, for io_uring's registered buffers. Best effort: where the
  // system refuses (RLIMIT_MEMLOCK) or has no such thing (the pread pool) reads work all the same. Memory is pinned
  // piece by piece (64 MiB), when something is first read into the piece: pinning touches every page, and at once that
  // took seconds of loading (docs/lab/experiments.md). The memory must outlive the reader, or be forgotten.
  virtual void register_memory(std::span<std::byte> memory) = 0;

  // The end of that, for some of the memory: the kernel holds its pages no longer. No read into it may be under way.
  virtual void forget_memory(std::span<std::byte> memory) = 0;

  virtual ReaderStats stats() const = 0;

  // "io_uring, direct", "pread threads, buffered": for people.
  virtual std::string description() const = 0;
  // A sentence when direct I/O was asked for and refused, else empty.
  virtual std::string notice() const = 0;
};

}  // namespace hypura
