// A model that answers with what a test tells it to.
#pragma once

#include <algorithm>
#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "hypura/generator.h"
#include "support/fail.h"

namespace hypura {

class FakeGenerator : public Generator {
 public:
  // What every answer gets, on the thread that submits it.
  std::vector<AnswerPiece> pieces;
  AnswerEnd end;
  std::optional<Error> refusal;        // submit() gives this instead
  std::optional<Error> embed_refusal;  // embed() gives this
  bool hold = false;                   // answers wait for play() or cancel()
  ModelCard model_card;
  Plan plan_summary;
  std::vector<float> embedding{3, 4};
  uint32_t context = 4096;
  MemoryState memory_state;

  // What was asked for.
  std::vector<AnswerRequest> requests;
  std::vector<EmbedRequest> embed_requests;
  std::vector<AnswerId> cancelled;
  int closed = 0;                           // calls of close()
  std::vector<std::string> memory_reasons;  // of set_memory()
  std::atomic<bool> reopen = false;

  Result<AnswerId> submit(AnswerRequest request, std::shared_ptr<AnswerSink> sink) override {
    if (refusal) {
      return propagate(*refusal);
    }
    sink->on_prompt(static_cast<uint32_t>(render(request)->size()));
    requests.push_back(std::move(request));
    const AnswerId id = requests.size();
    if (hold) {
      held_[id] = std::move(sink);
    } else {
      play_to(*sink, end);
    }
    return id;
  }

  void cancel(AnswerId id) override {
    cancelled.push_back(id);
    if (const auto sink = take(id)) {
      AnswerEnd cut = end;
      cut.stop = StopReason::kCancelled;
      sink->on_end(cut);
    }
  }

  // For tests: a held answer gets one piece, or all pieces and its end.
  void give(AnswerId id, AnswerPiece piece) { held_.at(id)->on_piece(std::move(piece)); }
  void play(AnswerId id) {
    if (const auto sink = take(id)) {
      play_to(*sink, end);
    }
  }
  size_t held() const { return held_.size(); }

  Result<Embedding> embed(const EmbedRequest& request) override {
    const std::lock_guard lock(mutex_);
    embed_requests.push_back(request);
    if (embed_refusal) {
      return propagate(*embed_refusal);
    }
    return Embedding{embedding, static_cast<uint32_t>(request.text.size())};
  }

  Result<std::string> render(const AnswerRequest& request) const override {
    std::string text;
    for (const ChatMessage& message : request.messages) {
      text += message.role + ": " + message.content + "\n";
    }
    return text + request.prompt.value_or("");
  }
  std::vector<int32_t> tokenize(const std::string& text) const override { return {text.begin(), text.end()}; }
  std::string detokenize(const std::vector<int32_t>& tokens) const override { return {tokens.begin(), tokens.end()}; }

  const ModelCard& card() const override { return model_card; }
  const Plan& plan() const override { return plan_summary; }
  GeneratorStats stats() const override { return {}; }
  std::vector<LiveLayer> live() const override { return {}; }
  uint32_t context_size() const override { return context; }
  bool must_reopen() const override { return reopen; }
  MemoryState memory() const override {
    const std::lock_guard lock(mutex_);
    return memory_state;
  }
  Status set_memory(uint64_t bytes, std::string_view why) override {
    const std::lock_guard lock(mutex_);
    if (bytes < memory_state.least) {
      return fail(ErrorCode::kBudget, "stories cannot run in {} bytes", bytes);
    }
    memory_state.limit = std::min(bytes, memory_state.opened);
    memory_reasons.emplace_back(why);
    return {};
  }
  Status close() override {
    ++closed;
    return {};
  }

 private:
  std::shared_ptr<AnswerSink> take(AnswerId id) {
    const auto found = held_.find(id);
    if (found == held_.end()) {
      return nullptr;
    }
    std::shared_ptr<AnswerSink> sink = std::move(found->second);
    held_.erase(found);
    return sink;
  }

  void play_to(AnswerSink& sink, const AnswerEnd& how) const {
    for (const AnswerPiece& piece : pieces) {
      sink.on_piece(piece);
    }
    sink.on_end(how);
  }

  mutable std::mutex mutex_;
  std::map<AnswerId, std::shared_ptr<AnswerSink>> held_;
};

}  // namespace hypura
