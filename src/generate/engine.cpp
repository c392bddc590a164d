#include "hypura/engine.h"

#include <algorithm>

#include "generate/engine_impl.h"
#include "generate/open_overridden.h"
#include "history/saved_routing.h"
#include "history/sustained_rate.h"
#include "llama/llama_guard.h"
#include "llama/mtp_layers.h"
#include "llama/trial_load.h"
#include "machine/memory.h"
#include "plan/context_choice.h"
#include "plan/draft_worth.h"
#include "plan/placed_tensors.h"
#include "store/mirrors.h"
#include "support/elapsed.h"
#include "support/fail.h"
#include "support/log.h"
#include "support/units.h"

namespace hypura {

namespace {

// Tokens whose routing is kept on request: those of a default context. 24 layers of 8 experts used take 1.5 MiB.
constexpr uint64_t kRecordedTokens = 4096;

// The best mode that works by `problem`: what it says is best is tried, and the next best when llama.cpp takes more
// than it says. Fails with kBudget when none does.
Result<OpenParts> open_best_of(const OpenRequest& request, PlacementProblem problem) {
  const PlacementProblem all = problem;
  while (!problem.modes.empty()) {
    auto solution = place(problem);
    if (!solution) {
      break;
    }
    const Mode mode = solution->placement.mode;
    Chosen chosen{problem, std::move(*solution)};
    chosen.problem.modes = {mode};
    auto parts = mode == Mode::kResident ? open_resident(request, std::move(chosen))
                                         : open_streaming(request, std::move(chosen));
    if (parts || parts.error().code != ErrorCode::kBudget) {
      return parts;
    }
    std::erase(problem.modes, mode);
  }
  return too_small(request, all);
}

// By estimates; and where nothing fits by those, by what the smallest contexts really take: less now and then, and else
// what the advice is made of.
Result<OpenParts> open_best(const OpenRequest& request) {
  auto problem = placement_problem(request);
  if (!problem) {
    return propagate(problem.error());
  }
  if (request.options.record_routing) {
    if (problem->expert_slots() == 0) {
      return fail(ErrorCode::kUsage, "{} has no experts, so that there is no routing to record: leave the trace out",
                  request.model.name);
    }
    std::erase(problem->modes, Mode::kResident);  // routing is seen where experts are streamed
  }
  auto parts = open_best_of(request, *problem);
  const bool too_little = !parts && parts.error().code == ErrorCode::kBudget;
  return too_little ? open_best_of(request, with_real_sizes(request, *problem)) : std::move(parts);
}

// With less context than was chosen by estimates, where llama.cpp takes more than those.
Result<OpenParts> open_in_budget(OpenRequest& request) {
  while (true) {
    auto parts = open_best(request);
    const bool less = !parts && parts.error().code == ErrorCode::kBudget && request.options.context == 0 &&
                      request.context > kLeastContext;
    if (!less) {
      return parts;
    }
    request.context = std::max(request.context / 2, kLeastContext);
    request.context_remark =
        context_sentence({request.context, request.sequences, "more does not fit the budget"}, request.sequences);
  }
}

}  // namespace

EngineImpl::EngineImpl(Model model, EngineOptions options, PlanOverrides overrides)
    : model_(std::move(model)), options_(std::move(options)), overrides_(std::move(overrides)) {}

EngineImpl::~EngineImpl() {
  if (options_.run_history && parts_) {
    remember_routing();
    remember_disk();
    remember_pace();
  }
}

void EngineImpl::remember_disk() const {
  if (!parts_->chosen || parts_->chosen->placement().mode != Mode::kDenseStreaming || !options_.mirrors.empty()) {
    return;
  }
  const auto rate = sustained_rate(stats());
  if (Status status = rate ? keep_sustained_rate(options_.model, *rate) : Status(); !status) {
    logger().debug("the disk's speed is not remembered: {}", status.error().message);
  }
}

// A model that only dense weights are streamed of teaches what the disk sustains instead, or both would correct plans.
void EngineImpl::remember_pace() const {
  if (!parts_->chosen || parts_->chosen->placement().mode == Mode::kDenseStreaming || profiled_at_.empty() ||
      !options_.mirrors.empty()) {
    return;
  }
  const auto pace = pace_.against(parts_->chosen->problem, parts_->chosen->placement(),
                                  std::min(options_.predicted_at, context_size_));
  if (Status status = pace ? save_pace(model_, profiled_at_, pace_key_, *pace) : Status(); !status) {
    logger().debug("the pace of tokens is not remembered: {}", status.error().message);
  }
}

void EngineImpl::remember_routing() const {
  RoutingTrace trace = routing();
  if (trace.decode_tokens() < kFewestSavedTokens) {
    return;
  }
  if (Status status = save_routing(model_, std::move(trace)); !status) {
    logger().debug("the routing is not remembered: {}", status.error().message);
  }
}

Result<std::unique_ptr<EngineImpl>> open_engine(const EngineOptions& options, const PlanOverrides& overrides) {
  const auto start = std::chrono::steady_clock::now();
  if (Status status = init_llama(); !status) {
    return propagate(status.error());
  }
  auto model = open_model(options.model);
  if (!model) {
    return propagate(model.error());
  }
  if (Status status = options.draft.mtp ? check_mtp(*model) : Status(); !status) {
    return propagate(status.error());
  }
  auto budget = choose_budget(options);
  if (!budget) {
    return propagate(budget.error());
  }
  ProfileOptions of_this_disk;
  of_this_disk.path = options.model;
  auto mirrors = mirrors_of(*model, options);
  if (!mirrors) {
    return propagate(mirrors.error());
  }
  const auto profile = with_mirrors(cached_profile(of_this_disk), *model, *mirrors);
  *model = used_part(*model, options.draft.mtp);
  TrialOptions trial;
  trial.mtp = options.draft.mtp;
  if (Status status = try_model(*model, trial); !status) {
    return propagate(status.error());
  }
  const Knowledge knowledge = recall(*model, profile ? &*profile : nullptr);
  auto engine = std::make_unique<EngineImpl>(std::move(*model), options, overrides);
  const Status opened = guarded(ErrorCode::kBadModel, options.model.string(),
                                [&] { return engine->open(*budget, knowledge, std::move(*mirrors)); });
  if (!opened) {
    return propagate(opened.error());
  }
  engine->note_loaded(seconds_since(start));
  engine->warm_up();
  return engine;
}

Result<std::unique_ptr<Engine>> Engine::open(const EngineOptions& options) {
  return open_overridden(options, {});
}

Result<std::unique_ptr<Engine>> open_overridden(const EngineOptions& options, const PlanOverrides& overrides) {
  return open_engine(options, overrides).map([](std::unique_ptr<EngineImpl> engine) -> std::unique_ptr<Engine> {
    return engine;
  });
}

Status EngineImpl::open(const Budget& budget, const Knowledge& knowledge, std::vector<Mirror> mirrors) {
  OpenRequest request = make_request(options_, model_, budget.bytes, knowledge, overrides_);
  const uint64_t process = read_process_memory().resident;
  options_.sequences = request.sequences;
  request.mirrors = std::move(mirrors);
  if (Status status = open_draft_model(request); !status) {
    return status;
  }
  if (options_.draft.ngrams || options_.draft.mtp || draft_model_ != nullptr) {
    options_.outputs = std::max(options_.outputs, options_.sequences + kMostDrafted);
  }
  auto parts = open_in_budget(request);
  if (!parts) {
    return propagate(parts.error());
  }
  parts_.emplace(std::move(*parts));
  context_size_ = request.context;
  pace_key_ = pace_key(request, parts_->chosen->problem, parts_->chosen->placement());
  profiled_at_ = knowledge.profile != nullptr ? knowledge.profile->measured_at : "";
  chat_.emplace(parts_->llama.get());
  if (Status status = start_drafting(); !status) {
    return status;
  }
  summarise(request, budget, process);
  if (parts_->weights != nullptr && options_.run_history && overrides_.warm_start && knowledge.routing) {
    parts_->weights->recall(*knowledge.routing);
  }
  if (parts_->weights != nullptr && (options_.record_routing || options_.run_history)) {
    parts_->weights->record_routing(options_.record_routing ? kRecordedTokens : kMostSavedTokens);
  }
  return {};
}

// The draft model comes out of the same budget, before it is divided; unless that costs more than drafts can give.
Status EngineImpl::open_draft_model(OpenRequest& request) {
  const std::filesystem::path& file = options_.draft.model;
  if (file.empty()) {
    return {};
  }
  const auto fits = [&](uint64_t bytes) -> Status {
    if (bytes >= request.budget) {
      return fail(ErrorCode::kBudget, "the draft model {} takes {}, more than the budget of {}: take a smaller one",
                  file.string(), format_bytes(bytes), format_bytes(request.budget));
    }
    return {};
  };
  std::error_code missing;
  const uint64_t least = std::filesystem::file_size(file, missing);
  if (Status status = fits(missing ? 0 : least); !status) {
    return status;
  }
  auto draft = open_model_drafter(file, request.context, request.sequences, request.threads);
  if (!draft) {
    return propagate(draft.error());
  }
  draft_bytes_ = (*draft)->bytes();
  if (Status status = fits(draft_bytes_); !status) {
    return status;
  }
  const auto worth = overrides_.keep_draft_model ? std::nullopt : draft_worth(request, file, draft_bytes_);
  if (worth && !worth->pays()) {
    draft_remark_ = left_out_sentence(file, draft_bytes_, *worth);
    draft_bytes_ = 0;
    return {};
  }
  request.budget -= draft_bytes_;
  draft_model_ = std::move(*draft);
  return {};
}

Status EngineImpl::start_drafting() {
  std::vector<std::unique_ptr<Drafter>> drafters;
  if (options_.draft.ngrams) {
    drafters.push_back(make_ngram_drafter());
  }
  if (parts_->mtp != nullptr) {
    mtp_ = std::make_unique<MtpHead>(*parts_->context, *parts_->mtp, options_.sequences, weights());
    drafters.push_back(make_mtp_drafter(*mtp_));
  }
  if (draft_model_ != nullptr) {
    if (Status status = check_vocabularies(*parts_->llama, *draft_model_->model()); !status) {
      return status;
    }
    draft_model_->set_threadpool(parts_->threadpool.get());
    drafters.push_back(std::move(draft_model_));
  }
  if (!drafters.empty() && can_cut(*llama())) {
    drafting_ = std::make_unique<Drafting>(std::move(drafters));
  }
  return {};
}

void EngineImpl::note_drafted(uint32_t drafted, uint32_t right) {
  const std::lock_guard lock(mutex_);
  stats_.drafted_tokens += drafted;
  stats_.right_drafted_tokens += right;
  stats_.decoded_tokens -= drafted - right;
}

void EngineImpl::note_answered(size_t tokens) {
  const std::lock_guard lock(mutex_);
  stats_.answer_tokens += tokens;
}

void EngineImpl::summarise(const OpenRequest& request, const Budget& budget, uint64_t process) {
  const Chosen& chosen = *parts_->chosen;
  const Prediction prediction = predict(request, chosen, process);
  plan_.mode = mode_name(chosen.placement().mode);
  plan_.sentence = plan_sentence(request, chosen, budget.remark);
  if (parts_->reader != nullptr) {
    plan_.sentence += fmt::format("; reads by {}", parts_->reader->description());
    add_mirrors(options_, plan_);
  }
  if (draft_bytes_ > 0) {
    plan_.sentence += fmt::format("; {} more for the draft model", format_bytes(draft_bytes_));
  }
  if (mtp_ != nullptr) {
    plan_.sentence +=
        fmt::format("; drafts by its MTP layers, whose context takes {}", format_bytes(parts_->mtp_bytes));
  }
  plan_.why = why_sentence(request, chosen, prediction);
  plan_.context = request.context_remark;
  plan_.budget = budget.bytes;
  plan_.process = kProcessMargin;
  plan_.ledger = parts_->ledger;
  if (draft_bytes_ > 0) {
    plan_.ledger.push_back({"draft model", draft_bytes_});
  }
  plan_.layers = layer_shares(placed_tensors(request.model, chosen));
  plan_.warnings = plan_warnings(request, chosen);
  if (!draft_remark_.empty()) {
    plan_.warnings.push_back(draft_remark_);
  }
  if (parts_->reader == nullptr && !options_.mirrors.empty()) {
    plan_.warnings.emplace_back(
        "all of the model is in memory, and was loaded from its own files: the mirrors are not read");
  }
  plan_.tokens_per_second = prediction.tokens_per_second;
  plan_.bound_tokens_per_second = prediction.bound_tokens_per_second;
  plan_.ubatch = parts_->ubatch;
  plan_.kv_type = chosen.kv().name;
}

void EngineImpl::note_loaded(double seconds) {
  stats_.load_seconds = seconds;
  load_bytes_ = bytes_read();
  load_busy_seconds_ = busy_seconds();
}

void EngineImpl::warm_up() {
  if (parts_->weights != nullptr) {
    parts_->weights->warm_up();
  }
}

double EngineImpl::busy_seconds() const {
  return parts_->reader == nullptr ? 0 : parts_->reader->stats().busy_seconds;
}

uint64_t EngineImpl::bytes_read() const {
  if (parts_->reader == nullptr) {
    return parts_->load_bytes;
  }
  const ReaderStats stats = parts_->reader->stats();
  return stats.demand_bytes + stats.prefetch_bytes;
}

EngineStats EngineImpl::stats() const {
  const std::lock_guard lock(mutex_);
  EngineStats stats = stats_;
  stats.load_bytes = load_bytes_;
  stats.streamed_bytes = bytes_read() - load_bytes_;
  stats.disk_busy_seconds = busy_seconds() - load_busy_seconds_;
  if (parts_->reader != nullptr) {
    stats.copy_bytes = parts_->reader->stats().copy_bytes;
  }
  if (parts_->weights != nullptr) {
    const StreamStats& stream = parts_->weights->stats();
    stats.expert_lookups = stream.decode_lookups;
    stats.expert_hits = stream.decode_hits;
    stats.experts_read_ahead = stream.ahead_reads;
    stats.experts_used_ahead = stream.ahead_used;
    stats.experts_guessed = stream.guesses;
    stats.experts_guessed_right = stream.guesses_right;
    stats.experts_guessed_among = stream.guesses_among;
    stats.experts_warmed = stream.warmed;
    stats.warm_bytes = stream.warm_bytes;
    stats.io_wait_seconds = stream.io_wait_seconds;
    stats.stream_compute_seconds = stream.compute_seconds;
    stats.stream_kernel_seconds = parts_->weights->kernel_seconds();
  }
  stats.memory_peak = read_process_memory().peak;
  return stats;
}

RoutingTrace EngineImpl::routing() const {
  return parts_ && parts_->weights != nullptr ? parts_->weights->routing() : RoutingTrace();
}

// llama_decode's code. What an assertion left of the context is not used again.
Result<int> EngineImpl::decode(const llama_batch& batch) {
  if (broken_) {
    return propagate(*broken_);
  }
  auto result = guarded(
      ErrorCode::kBadModel, model_.files.front().path.string() + ": llama.cpp cannot compute this model",
      [&]() -> Result<int> { return llama_decode(parts_->context.get(), batch); }, Guarding::kPass);
  if (!result) {
    broken_ = result.error();
  }
  return result;
}

// One llama_decode: one walk over the weights.
Status EngineImpl::pass(const llama_batch& batch, uint32_t prompt_tokens) {
  // A pass that evaluates a prompt is one for the cache's figures too, whatever rides on it.
  const Phase phase = prompt_tokens > 0 ? Phase::kPrefill : Phase::kDecode;
  if (parts_->weights != nullptr) {
    parts_->weights->begin_pass(phase);
  }
  const uint64_t bytes_before = bytes_read();
  const auto start = std::chrono::steady_clock::now();
  const auto result = decode(batch);
  if (parts_->weights != nullptr) {
    parts_->weights->end_pass(static_cast<size_t>(batch.n_tokens), seconds_since(start));
  }
  if (!result) {
    return propagate(result.error());
  }
  if (*result == 0 && mtp_ != nullptr) {
    mtp_->note_pass(batch);
  }
  const double seconds = seconds_since(start);
  const uint64_t bytes = bytes_read() - bytes_before;
  const std::lock_guard lock(mutex_);
  stats_.prompt_tokens += prompt_tokens;
  stats_.decoded_tokens += static_cast<uint64_t>(batch.n_tokens) - prompt_tokens;
  if (phase == Phase::kDecode) {
    stats_.decode_seconds += seconds;
    stats_.decode_bytes += bytes;
    if (*result == 0 && batch.n_tokens == 1) {
      pace_.note({seconds, bytes, static_cast<uint32_t>(batch.pos[0])});
    }
  } else {
    stats_.prompt_seconds += seconds;
    stats_.prefill_bytes += bytes;
  }
  if (*result == 0) {
    return {};
  }
  if (*result == 1) {
    return fail(ErrorCode::kContextFull, "the context of {} tokens is full", llama_n_ctx(parts_->context.get()));
  }
  if (parts_->weights != nullptr) {
    return propagate(parts_->weights->take_error());
  }
  return fail(ErrorCode::kInternal, "llama.cpp could not compute: {}", take_llama_error());
}

}  // namespace hypura
