// The engine: opens a model inside a memory budget, keeps conversations, generates tokens, counts what it did.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "hypura/chat.h"
#include "hypura/placement.h"
#include "hypura/plan.h"
#include "hypura/result.h"
#include "hypura/routing.h"

namespace hypura {

// The most DraftOptions::tokens.
inline constexpr uint32_t kMostDraftTokens = 16;

// Sources of drafts, with which one pass can make several tokens (docs/design/drafting.md). They are asked in turn:
// n-grams first, the draft model last.
struct DraftOptions {
  // A small model of the same family, held in memory; empty: none. Left out, with a warning, where the memory is worth
  // more to the model itself.
  std::filesystem::path model;
  bool ngrams = false;  // what followed the same few tokens before, in the prompt or the answer
  bool mtp = false;     // the model's own MTP layers; opening a model without them fails (kUsage)
  // Tokens of each draft, 1 to kMostDraftTokens, whether that pays or not, and the draft model is kept; 0: as many as
  // pay, by how long passes take. Some kernels round by the number of rows of a pass: with a length that does not
  // depend on time the same prompt and seed give the same answer each time, at every budget, with workers and without.
  uint32_t tokens = 0;

  bool any() const { return ngrams || mtp || !model.empty(); }
};

// The most EngineOptions::mirrors.
inline constexpr size_t kMostMirrors = 7;

// The most EngineOptions::workers.
inline constexpr size_t kMostWorkers = 8;

// How to open a model.
struct EngineOptions {
  std::filesystem::path model;
  // Copies of the model on other disks: files, or folders with files of the same names. Streamed weights are read from
  // all of them, from each by its speed (docs/design/architecture.md). At most kMostMirrors. A copy of a split model
  // may lack parts.
  std::vector<std::filesystem::path> mirrors;
  std::optional<uint64_t> memory;  // bytes for all of the model; none: what the machine allows
  // The GPUs that compute: names (hypura/devices.h), separated by commas, each with layers of its own; "none"; or
  // "auto": those with memory of their own, as many as make the model faster by the plan, the most free memory first.
  // "CPU", for tests, has the processor take a GPU's part.
  std::string gpu = "auto";
  // Bytes of the memory of each for the model; none: what is free, less what a desktop needs.
  std::optional<uint64_t> vram;
  // In place of that: of the memory of each of the GPUs that `gpu` names, in their order. Opening fails (kUsage) where
  // there are more or fewer of them.
  std::vector<uint64_t> vram_each;
  // With a GPU that has slots for some of the experts: while decoding, the processors compute those that have none from
  // RAM, instead of copying them there. Faster where the link is slow. Logits then depend on which experts have slots,
  // in their last bits: on the budgets, and on what was computed before (docs/design/gpu.md). Opening fails (kUsage)
  // where no GPU computes with slots.
  bool mixed_compute = false;
  // Machines that run `hypura worker` with the same model, "HOST:PORT" each, at most kMostWorkers: they compute
  // experts beside this one (docs/design/workers.md), or feed-forward parts of a model without any. Results are the
  // same bits with them and without; one that is not there, or is lost, is done without until it is. Opening waits
  // until each has joined or failed to, a few seconds at most, and fails (kUsage) for what workers cannot do: GPUs.
  // With WorkerSplit::kLayers one of them has the last layers of a model without experts, keys and values included.
  // When it is lost answers fail, and the model is to be opened again (Generator::must_reopen), which does without it.
  std::vector<std::string> workers;
  WorkerSplit split = WorkerSplit::kAuto;
  // They may be reached over a network, where nothing is encrypted and nobody asked for a password. Else opening fails
  // (kUsage) for those that are not on this machine, as the ends of tunnels are.
  bool trust_network = false;
  // Tokens of context; lowered to what the model was trained for. 0: what the budget affords without making the model
  // slower (plan/context_choice.h); Plan::context_sentence says what was chosen.
  uint32_t context = 4096;
  double context_share = 0.125;  // of the budget: the most that such a context's KV cache may take beyond 4096 tokens
  uint32_t predicted_at = 0;     // tokens in the context that decode predictions are for
  // Answers at once, for Generator; a Session uses the first. They share the cells of the KV cache: enough for one
  // whole context at least, for all of them where the budget affords that without making the model slower.
  uint32_t sequences = 1;
  // Sequences besides, which keep what earlier answers held. They share the same cells and cost no memory; none are
  // made where a sequence has a state of its own (recurrent models) or cells of its own (DeepSeek V4).
  uint32_t idle_sequences = 0;
  uint32_t threads = 0;  // compute threads; 0: as measured best for this machine's cores
  uint32_t ubatch = 0;   // tokens computed at once in prefill; 0: chosen from the budget
  // Of the KV cache. kQ8_0 halves it and changes the last bits of logits; kAuto uses it where the memory gained makes
  // the model faster.
  KvType kv_type = KvType::kF16;
  // Keep the keys and values of conversations that lose their place in the context, in a small share of the budget and
  // in the user's cache folder (docs/design/kv.md): what they are of lies there too, as tokens.
  bool keep_kv = false;
  std::optional<uint64_t> kv_disk;  // most bytes in that folder, of all models; 0: none; none: a share of what is free
  uint32_t outputs = 1;             // most tokens of one pass whose logits are kept; evaluate() splits its passes by it
  bool resident = true;             // false: stream even when the model would fit
  bool direct_io = true;            // false: read through the page cache
  // Let weights be repacked for speed: all of a full-resident model's when it is opened, streamed ones for passes with
  // many tokens. It changes the last bits of results: sums are made in another order.
  bool repack = true;
  // Read the repacked copy where a valid one lies beside the model (hypura/repack.h), and `repack` is on and no mirrors
  // are given. Results are then those of a resident model that is repacked, at every budget.
  bool repacked = true;
  bool record_routing = false;  // keep which experts are chosen; they are then streamed even when all would fit
  // Keep a run history in the user's cache folder: Engine::close saves some of the routing for later plans, how long
  // tokens took by what the plan said, and what the disk gave when a dense model was read from it for long; and opening
  // begins with what was saved: before the first pass the experts that were used most are read.
  bool run_history = true;
  // What conversations are written by in place of the model's own chat template: Jinja, or a template of Ollama's.
  // Empty: the model's own. Opening fails (kUsage), before weights are read, with one that cannot be used.
  std::string chat_template;
  DraftOptions draft;  // without effect on models whose state cannot be taken back (recurrent ones)

  // Called while resident weights are read, with a share of 0..1; on the thread that called Engine::open.
  std::function<void(double)> progress;
};

// How to choose tokens. The defaults are llama.cpp's own.
struct SamplingOptions {
  float temperature = 0.8F;  // 0: greedy
  int32_t top_k = 40;
  float top_p = 0.95F;
  float min_p = 0.05F;
  float typical_p = 1.0F;
  float repeat_penalty = 1.0F;
  float presence_penalty = 0.0F;
  float frequency_penalty = 0.0F;
  int32_t repeat_last_n = 64;
  std::optional<uint32_t> seed;  // none: random
  // Added to the logits of these tokens, before all else.
  std::vector<std::pair<int32_t, float>> logit_bias = {};
};

// What one GPU has of the counters of EngineStats that begin with "gpu_", and of cpu_experts.
struct GpuCounters {
  std::string name;  // hypura/devices.h
  uint64_t expert_lookups = 0;
  uint64_t expert_hits = 0;
  uint64_t experts_copied_ahead = 0;
  uint64_t experts_used_ahead = 0;
  uint64_t cpu_experts = 0;
  uint64_t upload_bytes = 0;
  uint64_t download_bytes = 0;
  uint64_t staged_layers = 0;
  uint64_t seeded_experts = 0;
  double choice_wait_seconds = 0;
  double copy_wait_seconds = 0;
  double link_busy_seconds = 0;
};

// What one worker has done, in prompts and decode passes.
struct WorkerCounters {
  std::string name;             // its address
  uint64_t joined = 0;          // 1: it is there now
  uint64_t asks = 0;            // round trips: one for each layer that it computed some of; of whole layers one a pass
  uint64_t experts = 0;         // that it computed, once for each layer and pass; not in expert_lookups
  uint64_t expert_hits = 0;     // of those, in its memory when asked for
  uint64_t rows = 0;            // of their results: one for each token and expert; of whole layers one a token
  uint64_t rows_done_here = 0;  // that it was asked for and did not give, so that this machine computed them
  uint64_t losses = 0;          // times that it was lost
  uint64_t read_bytes = 0;      // from its disk, for what it was asked
  uint64_t sent_bytes = 0;      // to it over the network
  uint64_t received_bytes = 0;  // from it
  double wait_seconds = 0;      // computation here waited for it
};

// Counters since the engine was opened, or the difference of two readings. Bytes are those that the kernel delivered.
// Times are in seconds, waited or computed on the calling thread.
struct EngineStats {
  uint64_t prompt_tokens = 0;
  uint64_t decoded_tokens = 0;         // from decode passes: drafted tokens only where they were accepted
  uint64_t answer_tokens = 0;          // returned by sessions; the first of each comes from prefill
  uint64_t drafted_tokens = 0;         // verified, accepted or not
  uint64_t accepted_draft_tokens = 0;  // of those, accepted
  double prompt_seconds = 0;
  double decode_seconds = 0;
  double load_seconds = 0;
  uint64_t load_bytes = 0;      // read from disk while loading
  uint64_t streamed_bytes = 0;  // read from disk since, on demand and by prefetch
  uint64_t prefill_bytes = 0;   // of those, in prefill passes
  uint64_t decode_bytes = 0;    // of those, in decode passes
  uint64_t expert_lookups = 0;  // experts requested, in decode passes
  uint64_t expert_hits = 0;     // of those, in RAM or VRAM when requested; a pending read is a miss
  // Read from disk on a prediction, in decode passes; and what a prompt did not ask for in its last layer, where RAM
  // has room for all beside a GPU.
  uint64_t experts_read_ahead = 0;
  uint64_t experts_used_ahead = 0;         // of those, then requested
  uint64_t experts_predicted = 0;          // predicted for the next layer, resident or not, in decode passes
  uint64_t experts_predicted_correct = 0;  // of those, then requested
  uint64_t experts_predictable = 0;        // requested by the layers that had predictions
  // Read before the first pass, because earlier runs used them, or while nothing ran, when there was room again.
  uint64_t experts_warmed = 0;
  uint64_t warm_bytes = 0;       // of those; a part of streamed_bytes
  uint64_t table_rows = 0;       // of tables that are read row by row, looked up
  uint64_t table_rows_read = 0;  // of those, from disk
  // With a GPU that has slots for some experts, in decode passes: what of expert_lookups was looked up in VRAM, and of
  // that found there. What is missed there is looked up in RAM, and what is missed in RAM is read from disk. Layers
  // with slots for all of their experts look up nothing; those brought whole, all of their experts.
  uint64_t gpu_expert_lookups = 0;
  uint64_t gpu_expert_hits = 0;
  // Copied from RAM to VRAM on a prediction; and of those, then requested: no hits there, but found in RAM.
  uint64_t gpu_experts_copied_ahead = 0;
  uint64_t gpu_experts_used_ahead = 0;
  uint64_t cpu_experts = 0;            // of those missed there, what the processors computed (mixed_compute)
  uint64_t gpu_upload_bytes = 0;       // of experts, from RAM to VRAM, in all passes
  uint64_t gpu_download_bytes = 0;     // of experts that were evicted there, to RAM
  uint64_t gpu_demoted_experts = 0;    // these experts
  uint64_t gpu_staged_layers = 0;      // layers that were brought whole, for each pass that did so
  uint64_t gpu_seeded_experts = 0;     // put into slots from such layers
  double gpu_choice_wait_seconds = 0;  // waited for the GPU to have computed a router's choice, and what came before it
  double gpu_copy_wait_seconds = 0;    // waited for copies to and from VRAM to end, so that RAM was free again
  // gpu_upload_bytes by the speed of such copies that the machine's profile has, of all GPUs together, which take
  // turns: at least so long the link was busy. 0 where a GPU was not measured.
  double gpu_link_busy_seconds = 0;
  double io_wait_seconds = 0;         // computation waited for a read
  double stream_compute_seconds = 0;  // in matrices whose weights are streamed or cached
  double stream_kernel_seconds = 0;   // of that, inside ggml's kernels; the rest is bookkeeping
  double disk_busy_seconds = 0;       // since loading, at most: a read was under way (ReaderStats::busy_seconds)
  // With keep_kv, beyond the context: what is kept in RAM and, of this model, on disk; what was fetched from there and
  // written to disk.
  uint64_t kv_host_entries = 0;
  uint64_t kv_host_bytes = 0;
  uint64_t kv_disk_entries = 0;
  uint64_t kv_disk_bytes = 0;
  uint64_t kv_entries_fetched = 0;
  uint64_t kv_restored_tokens = 0;  // of these entries, which were not computed again
  uint64_t kv_read_bytes = 0;
  uint64_t kv_written_bytes = 0;
  uint64_t memory_peak = 0;  // of the process, bytes
  // Of the model, as MemoryState.
  uint64_t memory_limit = 0;
  uint64_t memory_given_back_bytes = 0;
  uint64_t memory_shrunk = 0;
  uint64_t memory_grown = 0;
  // Read from disk, loading included, for each copy of the model: its own files, then each mirror. Empty without
  // mirrors.
  std::vector<uint64_t> copy_bytes;
  // Of each GPU that has slots for some experts, in the order of their layers.
  std::vector<GpuCounters> gpus;
  // Of each worker, in the order of EngineOptions::workers. Empty where none can be asked.
  std::vector<WorkerCounters> workers;

  EngineStats since(const EngineStats& earlier) const;
};

// Why an answer ended. A session has no stop strings, and returns errors as results.
enum class StopReason { kEndOfText, kStopString, kLength, kContextFull, kCancelled, kError };

// "end_of_text", "stop_string", "length", "context_full", "cancelled" or "error".
std::string_view stop_name(StopReason stop);

struct GenerateOptions {
  int32_t max_tokens = -1;  // -1: until the model ends or the context is full
  SamplingOptions sampling;
  // Receives each piece of text, in whole UTF-8 characters. Return false to stop (kCancelled).
  std::function<bool(std::string_view)> on_text;
  // Called between passes, also during prefill. Return false to stop (kCancelled).
  std::function<bool()> keep_going;
};

struct Generated {
  std::string text;
  std::vector<int32_t> tokens;
  StopReason stop = StopReason::kEndOfText;
};

// One conversation: a sequence in the KV cache. Not thread-safe; belongs to one thread at a time and must not outlive
// its engine.
class Session {
 public:
  virtual ~Session() = default;

  // Evaluates `prompt` as it stands (the tokenizer's own BOS rule applies; no template) from an empty context, then
  // generates. Fails with kContextFull when the prompt does not fit, with kIo when a weight could not be read.
  virtual Result<Generated> complete(std::string_view prompt, const GenerateOptions& options) = 0;

  // Applies the model's chat template to the whole conversation, evaluates what the context does not hold yet, then
  // generates the assistant's next message. Text in messages is never read as control tokens.
  virtual Result<Generated> chat(const std::vector<ChatMessage>& messages, const GenerateOptions& options) = 0;

  // Token ids of `text`; `add_bos` as the tokenizer's rule says, control tokens parsed when `parse_special`.
  virtual std::vector<int32_t> tokenize(std::string_view text, bool add_bos, bool parse_special) const = 0;

  // Evaluates tokens after what the context holds; returns the logits after each of them, n_tokens rows of
  // vocabulary() floats.
  virtual Result<std::vector<float>> evaluate(const std::vector<int32_t>& tokens) = 0;

  virtual int32_t vocabulary() const = 0;

  // Empties the context.
  virtual void clear() = 0;

  // Tokens in the context, and how many fit.
  virtual uint32_t context_used() const = 0;
  virtual uint32_t context_size() const = 0;
};

// An open model. One session at a time. Safe to destroy only after its sessions.
class Engine {
 public:
  // Opens the model. Fails with kBadModel, kIo, kUsage, or kBudget with the smallest budget that can work and a
  // ledger of what it is for.
  static Result<std::unique_ptr<Engine>> open(const EngineOptions& options);

  virtual ~Engine() = default;
  virtual Result<std::unique_ptr<Session>> new_session() = 0;
  virtual bool has_chat_template() const = 0;
  virtual const Plan& plan() const = 0;
  // What is reserved now of the budget and the process overhead, by purpose; the plan has the estimates. Any thread.
  virtual std::vector<LedgerLine> ledger() const = 0;

  // What it has of the memory that it was opened with, and may have from now on: at most that. What is given back is
  // the system's when the call returns, also in the middle of a pass; it blocks for as long as a part of a layer takes.
  // Answers are the same at every size, and only slower. `why` is for people: "memory pressure". Fails with kBudget
  // for less than MemoryState::least. Any thread.
  virtual MemoryState memory() const = 0;
  virtual Status set_memory(uint64_t bytes, std::string_view why) = 0;

  virtual EngineStats stats() const = 0;  // any thread
  virtual std::string model_name() const = 0;

  // As Generator::must_reopen(). Any thread.
  virtual bool must_reopen() const = 0;

  // The experts that the latest tokens chose: 4096 with EngineOptions::record_routing, which fails to open (kUsage) a
  // model without experts; fewer with `run_history` alone. Without layers when nothing was recorded. Any thread.
  virtual RoutingTrace routing() const = 0;

  // Saves the run history for later runs (EngineOptions::run_history). Call it after the last computation and before
  // the engine is destroyed; without it nothing is saved. Only the first call has an effect. Fails with kIo when the
  // cache folder cannot be written, which affects only later predictions.
  virtual Status close() = 0;
};

}  // namespace hypura
