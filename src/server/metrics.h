// What the server counted, for GET /metrics. All functions may be called from any thread.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "hypura/generator.h"
#include "server/exchange.h"
#include "server/model_host.h"

namespace hypura {

// How often something took how long.
struct Histogram {
  std::vector<double> bounds;    // upper ends in seconds, ascending
  std::vector<uint64_t> counts;  // one for each bound and one for what is above all; not cumulative
  double sum = 0;
  uint64_t count = 0;

  explicit Histogram(std::vector<double> upper_ends) : bounds(std::move(upper_ends)), counts(bounds.size() + 1) {}
  void observe(double seconds);
};

class Metrics {
 public:
  struct Numbers {
    std::map<std::pair<std::string, int>, uint64_t> requests;  // by route ("POST /api/chat") and status
    std::map<StopReason, uint64_t> answers;                    // by how they ended
    uint64_t prompt_tokens = 0;                                // of ended answers and embeddings
    uint64_t cached_tokens = 0;                                // of those, found in the KV cache
    uint64_t answer_tokens = 0;
    Histogram request_seconds;
    Histogram first_token_seconds;    // from submitting an answer to its first piece, queue included
    Histogram between_token_seconds;  // between two pieces of an answer
    Histogram queue_seconds;

    Numbers();
  };

  // A sink that counts and times an answer, notes its tokens on `exchange` and hands everything on to `sink`. Every
  // answer goes through one: `generator.submit(request, context.metrics.watch(exchange, sink))`. The metrics must
  // outlive it.
  std::shared_ptr<AnswerSink> watch(std::shared_ptr<Exchange> exchange, std::shared_ptr<AnswerSink> sink);

  // An embedding was made of so many tokens.
  void embedded(Exchange& exchange, uint32_t tokens);

  // A request was answered, or its client had gone (status 499). The server calls this for every request.
  void answered(const std::string& route, int status, double seconds);

  // All numbers of one moment.
  Numbers numbers() const;

 private:
  class Watch;

  mutable std::mutex mutex_;
  Numbers numbers_;
};

// All of it, and what `host` has loaded, in the text format of Prometheus.
std::string prometheus(const Metrics& metrics, const ModelHost& host);

}  // namespace hypura
