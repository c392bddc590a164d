// The numbers in the text format of Prometheus, version 0.0.4.
#include <fmt/format.h>

#include <initializer_list>
#include <iterator>
#include <span>
#include <string_view>

#include "generate/engine/counters.h"
#include "server/metrics.h"

namespace hypura {

namespace {

using Labels = std::initializer_list<std::pair<std::string_view, std::string_view>>;

class MetricsText {
 public:
  void begin(std::string_view name, std::string_view type, std::string_view help) {
    name_ = name;
    fmt::format_to(std::back_inserter(text_), "# HELP {0} {1}\n# TYPE {0} {2}\n", name, help, type);
  }

  template <class Number>
  void value(const Labels& labels, Number number, std::string_view suffix = {}) {
    text_ += name_;
    text_ += suffix;
    char before = '{';
    for (const auto& [key, what] : labels) {
      text_ += before;
      text_ += key;
      text_ += "=\"";
      add_escaped(what);
      text_ += '"';
      before = ',';
    }
    fmt::format_to(std::back_inserter(text_), "{} {}\n", before == ',' ? "}" : "", number);
  }

  // A metric with one value.
  template <class Number>
  void single(std::string_view name, std::string_view type, std::string_view help, const Labels& labels,
              Number number) {
    begin(name, type, help);
    value(labels, number);
  }

  void histogram(std::string_view name, std::string_view help, const Histogram& histogram) {
    begin(name, "histogram", help);
    uint64_t below = 0;
    for (size_t i = 0; i < histogram.bounds.size(); ++i) {
      below += histogram.counts[i];
      value({{"le", fmt::format("{}", histogram.bounds[i])}}, below, "_bucket");
    }
    value({{"le", "+Inf"}}, histogram.count, "_bucket");
    value({}, histogram.sum, "_sum");
    value({}, histogram.count, "_count");
  }

  std::string take() { return std::move(text_); }

 private:
  void add_escaped(std::string_view text) {
    for (const char c : text) {
      if (c == '\\' || c == '"') {
        text_ += '\\';
      }
      text_ += c == '\n' ? ' ' : c;
    }
  }

  std::string text_;
  std::string name_;
};

constexpr std::string_view kCounter = "counter";
constexpr std::string_view kGauge = "gauge";

void add_numbers(MetricsText& text, const Metrics::Numbers& numbers) {
  text.begin("hypura_requests_total", kCounter, "HTTP requests, by route and status; 499: the client went away.");
  for (const auto& [key, count] : numbers.requests) {
    text.value({{"route", key.first}, {"status", std::to_string(key.second)}}, count);
  }
  text.histogram("hypura_request_seconds", "Time from a request's first byte to its answer's last.",
                 numbers.request_seconds);
  text.begin("hypura_answers_total", kCounter, "Answers that a model ended, by why.");
  for (const auto& [stop, count] : numbers.answers) {
    text.value({{"end", stop_name(stop)}}, count);
  }
  text.single("hypura_prompt_tokens_total", kCounter, "Tokens of prompts, cached and evaluated.", {},
              numbers.prompt_tokens);
  text.single("hypura_prompt_cached_tokens_total", kCounter, "Tokens of prompts that the KV cache had already.", {},
              numbers.cached_tokens);
  text.single("hypura_answer_tokens_total", kCounter, "Tokens of answers.", {}, numbers.answer_tokens);
  text.histogram("hypura_time_to_first_token_seconds", "From submitting an answer to its first piece, queue included.",
                 numbers.first_token_seconds);
  text.histogram("hypura_time_between_tokens_seconds", "Between two pieces of an answer: a token each, as a rule.",
                 numbers.between_token_seconds);
  text.histogram("hypura_queue_seconds", "How long answers waited for their turn.", numbers.queue_seconds);
}

double rate(uint64_t count, double seconds) {
  return seconds > 0 ? static_cast<double>(count) / seconds : 0;
}

// The counters that have a metric, each under its name. Those that share one are a value of it each, by phase.
template <class Stats>
void add_counters(MetricsText& text, std::string_view model, std::span<const Counter<Stats>> counters,
                  const Stats& stats) {
  for (const Counter<Stats>& counter : counters) {
    if (!counter.metric.empty() && counter.phase.empty()) {
      const std::string_view type = counter.metric.ends_with("_total") ? kCounter : kGauge;
      with_number(counter, stats, [&](auto number) {
        text.single(counter.metric, type, counter.help, {{"model", model}}, number);
      });
    }
  }
}

// The same of each GPU.
void add_gpus(MetricsText& text, std::string_view model, const std::vector<GpuCounters>& gpus) {
  for (const Counter<GpuCounters>& counter : gpu_counters()) {
    if (!gpus.empty()) {
      text.begin(counter.metric, kCounter, counter.help);
    }
    for (const GpuCounters& gpu : gpus) {
      with_number(counter, gpu, [&](auto number) { text.value({{"model", model}, {"gpu", gpu.name}}, number); });
    }
  }
}

// The same of each worker.
void add_workers(MetricsText& text, std::string_view model, const std::vector<WorkerCounters>& workers) {
  for (const Counter<WorkerCounters>& counter : worker_counters()) {
    if (!workers.empty()) {
      text.begin(counter.metric, counter.sum ? kCounter : kGauge, counter.help);
    }
    for (const WorkerCounters& worker : workers) {
      with_number(counter, worker, [&](auto number) {
        text.value({{"model", model}, {"worker", worker.name}}, number);
      });
    }
  }
}

void add_rates(MetricsText& text, std::string_view model, const EngineStats& stats) {
  text.single("hypura_decode_tokens_per_second", kGauge,
              "Tokens of answers for each second of decoding, since loading.", {{"model", model}},
              rate(stats.decoded_tokens, stats.decode_seconds));
  text.single("hypura_prompt_tokens_per_second", kGauge, "Tokens evaluated for each second of that, since loading.",
              {{"model", model}}, rate(stats.prompt_tokens, stats.prompt_seconds));
}

void add_reads(MetricsText& text, std::string_view model, const EngineStats& stats) {
  text.begin("hypura_read_bytes_total", kCounter, "Bytes of weights read from a tier, by what for.");
  for (const Counter<EngineStats>& counter : engine_counters()) {
    if (!counter.phase.empty()) {
      with_number(counter, stats, [&](auto number) {
        text.value({{"model", model}, {"tier", "disk"}, {"phase", counter.phase}}, number);
      });
    }
  }
  if (!stats.copy_bytes.empty()) {
    text.begin("hypura_copy_read_bytes_total", kCounter,
               "The same bytes by copy of the model; 0: its own files, then its mirrors.");
    for (size_t i = 0; i < stats.copy_bytes.size(); ++i) {
      text.value({{"model", model}, {"copy", std::to_string(i)}}, stats.copy_bytes[i]);
    }
  }
}

void add_memory(MetricsText& text, std::string_view model, const Plan& plan) {
  text.begin("hypura_memory_bytes", kGauge, "The memory ledger, by purpose.");
  for (const LedgerLine& line : plan.ledger) {
    text.value({{"model", model}, {"purpose", to_string(line)}}, line.bytes);
  }
  text.single("hypura_memory_budget_bytes", kGauge, "What the ledger may hold.", {{"model", model}}, plan.budget);
  if (plan.device) {
    text.begin("hypura_gpu_memory_budget_bytes", kGauge, "What the ledger may hold in a GPU's memory.");
    for (const DeviceShare& share : plan.device->shares) {
      text.value({{"model", model}, {"gpu", share.name}}, share.budget);
    }
    if (plan.device->shares.empty()) {
      text.value({{"model", model}, {"gpu", plan.device->name}}, plan.device->budget);
    }
  }
}

}  // namespace

std::string prometheus(const Metrics& metrics, const ModelHost& host) {
  MetricsText text;
  add_numbers(text, metrics.numbers());
  const std::vector<LoadedModel> loaded = host.loaded();
  const std::string name = loaded.empty() ? std::string() : loaded.front().model->name;
  text.begin("hypura_model_loaded", kGauge, "1 for the model that is loaded.");
  for (const ModelPtr& model : host.models()) {
    text.value({{"model", model->name}}, model->name == name ? 1 : 0);
  }
  const std::shared_ptr<Generator> generator = host.current();
  if (generator != nullptr && !name.empty()) {
    const GeneratorStats stats = generator->stats();
    add_counters(text, name, generator_counters(), stats);
    add_counters(text, name, engine_counters(), stats.engine);
    add_gpus(text, name, stats.engine.gpus);
    add_workers(text, name, stats.engine.workers);
    add_rates(text, name, stats.engine);
    add_reads(text, name, stats.engine);
    add_memory(text, name, generator->plan());
  }
  return text.take();
}

}  // namespace hypura
