// Answers that share passes: whatever the scheduler makes the context do, plain llama.cpp gives the same logits for it,
// bit for bit, with everything in memory. What then still differs between an answer alone and in company is the
// kernels' (docs/design/batching.md); that the scheduler asks for the right things is pass_scheduler_test.cpp's.

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <thread>
#include <variant>

#include "generate/engine/reference_for_test.h"
#include "generate/generator_for_test.h"
#include "generate/scheduler/llama_pass_model.h"
#include "generate/scheduler/scheduler_thread.h"
#include "llama/llama_context.h"
#include "llama/llama_kv_memory.h"
#include "support/units.h"

namespace hypura {
namespace {

constexpr uint32_t kSequences = 4;     // answers at once
constexpr uint32_t kAllSequences = 6;  // of the context
constexpr uint32_t kTalkContext = 256;
constexpr uint32_t kPool = 512;  // cells: answers take each other's
constexpr uint32_t kTalkUbatch = 32;
constexpr uint32_t kThreads = 1;  // exactness_slow_test.cpp has more

struct Pass {
  std::vector<PassToken> tokens;
  std::map<size_t, std::vector<float>> logits;  // of the tokens whose logits are wanted
};
struct Cut {
  uint32_t sequence, left;
};
struct Copy {
  uint32_t from, to, count;
};
using Done = std::variant<Pass, Cut, Copy>;

// The engine's model, and its memory, which note all that is asked of them and what they gave.
class NotingModel final : public PassModel {
 public:
  NotingModel(PassModel& model, size_t vocabulary, std::vector<Done>& done)
      : model_(model), vocabulary_(vocabulary), done_(done) {}

  PassLimits limits() const override { return model_.limits(); }
  Status pass(std::span<const PassToken> tokens, uint32_t prompt_tokens) override {
    Status status = model_.pass(tokens, prompt_tokens);
    Pass pass{{tokens.begin(), tokens.end()}, {}};
    for (size_t i = 0; status && i < tokens.size(); ++i) {
      if (tokens[i].output) {
        const float* row = model_.logits(i);
        pass.logits[i].assign(row, row + vocabulary_);
      }
    }
    done_.emplace_back(std::move(pass));
    return status;
  }
  void note_drafted(uint32_t drafted, uint32_t accepted) override { model_.note_drafted(drafted, accepted); }
  const float* logits(size_t index) override { return model_.logits(index); }
  Status embed(std::span<const PassToken> tokens, std::vector<float>& sum) override {
    return model_.embed(tokens, sum);
  }
  uint32_t embed_limit() const override { return model_.embed_limit(); }

 private:
  PassModel& model_;
  size_t vocabulary_;
  std::vector<Done>& done_;
};

class NotingMemory final : public KvMemory {
 public:
  NotingMemory(KvMemory& memory, std::vector<Done>& done) : memory_(memory), done_(done) {}

  uint32_t sequences() const override { return memory_.sequences(); }
  bool can_cut() const override { return memory_.can_cut(); }
  uint32_t cut(uint32_t sequence, uint32_t count) override {
    const uint32_t left = memory_.cut(sequence, count);
    done_.emplace_back(Cut{sequence, left});
    return left;
  }
  uint32_t copy(uint32_t from, uint32_t to, uint32_t count) override {
    const uint32_t copied = memory_.copy(from, to, count);
    done_.emplace_back(Copy{from, to, copied});
    return copied;
  }

 private:
  KvMemory& memory_;
  std::vector<Done>& done_;
};

class GreedySource final : public AnswerSource {
 public:
  GreedySource(size_t vocabulary, int tokens) : vocabulary_(vocabulary), left_(tokens) {}

  AnswerStep step(const float* logits) override {
    AnswerStep step;
    step.token = static_cast<int32_t>(std::max_element(logits, logits + vocabulary_) - logits);
    step.piece.content = "x";
    if (--left_ == 0) {
      step.stop = StopReason::kLength;
    }
    return step;
  }
  AnswerPiece finish() override { return {}; }

 private:
  size_t vocabulary_;
  int left_;
};

// Conversations of several turns, prompts that share a beginning, one that fills its context and goes on, and one that
// is cleared: so that cells are cut, shared, and used again in another order.
void talk(SchedulerThread& scheduler, size_t vocabulary, uint32_t who) {
  std::vector<int32_t> text = test_tokens(20 + 7 * who);
  for (uint32_t turn = 0; turn < 3; ++turn) {
    Job job;
    job.prompt = text;
    job.limit = who == 1 ? 48 : kTalkContext;
    job.keep = 4;
    job.shift = true;
    job.source = std::make_unique<GreedySource>(vocabulary, who == 2 && turn == 0 ? 100000 : 10 + 5 * who);
    const auto sink = std::make_shared<HearingSink>();
    job.sink = sink;
    const auto id = scheduler.submit(std::move(job));
    ASSERT_TRUE(id) << id.error().message;
    if (who == 2 && turn == 0) {
      sink->wait_for_text();
      scheduler.cancel(*id);
    }
    const AnswerEnd end = sink->wait().end;
    text = end.tokens;
    text.resize(std::min<size_t>(text.size(), who == 1 ? 30 : 120));
    text.push_back(static_cast<int32_t>(400 + turn));
  }
}

struct TalkCase {
  const char* model;
  uint64_t memory;
  const char* mode;
  bool drafts = false;
  bool gpu = false;  // ggml's CPU stands for one, with slots for a quarter of the experts
};

std::vector<Done> talk_all(const TalkCase& how, std::string& mode) {
  EngineOptions options;
  options.model = kModels / how.model;
  options.memory = how.memory;
  options.context = kTalkContext;
  options.ubatch = kTalkUbatch;
  options.threads = kThreads;
  options.draft.ngrams = how.drafts;
  options.sequences = options.outputs = kSequences;
  options.idle_sequences = kAllSequences - kSequences;
  options.run_history = false;
  options.repack = false;  // as the reference
  PlanOverrides overrides;
  overrides.pool = kPool;
  if (how.gpu) {
    overrides.mode = Mode::kExpertStreaming;
    overrides.gpu = {"CPU", 8};
  }
  auto engine = open_engine(options, overrides);
  EXPECT_TRUE(engine) << engine.error().message;
  if (!engine) {
    return {};
  }
  mode = to_string((*engine)->plan().mode());
  const auto vocabulary = static_cast<size_t>((*engine)->vocabulary().size());
  std::vector<Done> done;
  LlamaPassModel passes(**engine, kSequences);
  NotingModel model(passes, vocabulary, done);
  LlamaKvMemory kv((*engine)->context(), kAllSequences);
  NotingMemory memory(kv, done);
  {
    KvCache cache(memory, cells((*engine)->context()));
    SchedulerThread scheduler(model, cache, (*engine)->drafting(), kSequences, 16);
    std::vector<std::thread> people;
    for (uint32_t who = 0; who < kSequences + 2; ++who) {
      people.emplace_back([&, who] { talk(scheduler, vocabulary, who); });
    }
    for (std::thread& it : people) {
      it.join();
    }
  }
  return done;
}

// The same on a plain context, and whether all logits are the same. Gives how many rows were compared.
class Plain {
 public:
  explicit Plain(const std::filesystem::path& path) : model_(path, kPool, kTalkUbatch, kThreads, kAllSequences) {}

  size_t repeat(const std::vector<Done>& all) {
    size_t rows = 0;
    for (size_t i = 0; i < all.size(); ++i) {
      if (const auto* pass = std::get_if<Pass>(&all[i])) {
        model_.decode(pass->tokens);
        for (const auto& [index, logits] : pass->logits) {
          const float* row = llama_get_logits_ith(model_.context(), static_cast<int32_t>(index));
          EXPECT_EQ(std::memcmp(row, logits.data(), logits.size() * sizeof(float)), 0)
              << "step " << i << ", sequence " << pass->tokens[index].sequence;
          ++rows;
        }
      } else if (const auto* cut = std::get_if<Cut>(&all[i])) {
        llama_memory_seq_rm(memory(), static_cast<llama_seq_id>(cut->sequence),
                            cut->left == 0 ? -1 : static_cast<llama_pos>(cut->left), -1);
      } else if (const auto* copy = std::get_if<Copy>(&all[i])) {
        llama_memory_seq_cp(memory(), static_cast<llama_seq_id>(copy->from), static_cast<llama_seq_id>(copy->to), 0,
                            static_cast<llama_pos>(copy->count));
      }
    }
    return rows;
  }

 private:
  llama_memory_t memory() { return llama_get_memory(model_.context()); }

  Reference model_;
};

template <class T>
size_t count(const std::vector<Done>& all) {
  return static_cast<size_t>(
      std::count_if(all.begin(), all.end(), [](const Done& it) { return std::holds_alternative<T>(it); }));
}

class SharedPasses : public testing::TestWithParam<TalkCase> {};

TEST_P(SharedPasses, GiveWhatPlainLlamaGives) {
  const std::filesystem::path path = kModels / GetParam().model;
  std::string mode;
  const std::vector<Done> all = talk_all(GetParam(), mode);
  EXPECT_EQ(mode, GetParam().mode);
  EXPECT_GT(count<Cut>(all), 10U);
  EXPECT_GT(count<Copy>(all), 0U);
  size_t shared = 0;
  for (const Done& it : all) {
    const auto* pass = std::get_if<Pass>(&it);
    shared += pass != nullptr && pass->logits.size() > 1 ? 1 : 0;
  }
  EXPECT_GT(shared, 20U) << "answers share passes";
  EXPECT_GT(Plain(path).repeat(all), 200U);
}

INSTANTIATE_TEST_SUITE_P(Modes, SharedPasses,
                         testing::Values(TalkCase{"hypura-stories-moe.gguf", 12 * kMiB, "mixed-streaming"},
                                         TalkCase{"hypura-stories-moe.gguf", 28 * kMiB, "expert-streaming"},
                                         TalkCase{"hypura-stories-moe.gguf", 28 * kMiB, "expert-streaming", true, true},
                                         TalkCase{"hypura-stories-draft.gguf", 9 * kMiB, "dense-streaming"},
                                         TalkCase{"hypura-stories-draft.gguf", 9 * kMiB, "dense-streaming", true}));

}  // namespace
}  // namespace hypura
