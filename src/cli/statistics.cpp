#include "cli/statistics.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <numeric>

#include "generate/engine/counters.h"
#include "support/units.h"

namespace hypura {

namespace {

double as_double(uint64_t count) {
  return static_cast<double>(count);
}

std::optional<double> ratio(double numerator, double denominator) {
  return denominator > 0 ? std::optional(numerator / denominator) : std::nullopt;
}

// `timed`: those of the tokens that took `seconds`.
std::string tokens_and_rate(uint64_t tokens, uint64_t timed, double seconds) {
  const auto rate = timed > 0 ? ratio(static_cast<double>(timed), seconds) : std::nullopt;
  const std::string count = fmt::format("{} token{}", tokens, tokens == 1 ? "" : "s");
  if (!rate) {
    return count + ", n/a tok/s";
  }
  return fmt::format("{}, {:.{}f} tok/s", count, *rate, *rate >= 99.95 ? 0 : *rate >= 0.995 ? 1 : 2);
}

// "38.1 of 40.0 MiB", or "900.0 KiB of 40.0 MiB" when the units differ.
std::string bytes_of(uint64_t part, uint64_t whole) {
  std::string left = format_bytes(part);
  const std::string right = format_bytes(whole);
  const size_t space = left.find(' ');
  if (left.substr(space) == right.substr(right.find(' '))) {
    left.resize(space);
  }
  return left + " of " + right;
}

// The peak is the whole process's, so it is held against the sum of what it may take.
std::string memory_of(uint64_t peak, const Plan& plan) {
  if (plan.budget == 0) {
    return format_bytes(peak);
  }
  return bytes_of(peak, plan.budget + plan.process_overhead) + fmt::format(" ({} for the model, {} for the program)",
                                                                           format_bytes(plan.budget),
                                                                           format_bytes(plan.process_overhead));
}

std::string experts_of(const EngineStats& stats) {
  const auto share = [&](uint64_t hits) { return 100 * as_double(hits) / as_double(stats.expert_lookups); };
  if (stats.expert_lookups == 0) {
    return "n/a";
  }
  return stats.gpu_expert_lookups == 0 ? fmt::format("{:.1f} % hit", share(stats.expert_hits))
                                       : fmt::format("{:.1f} % in VRAM, {:.1f} % in RAM", share(stats.gpu_expert_hits),
                                                     share(stats.expert_hits - stats.gpu_expert_hits));
}

// Of the time of all passes; none where a link was not measured.
std::optional<double> link_busy(const EngineStats& stats) {
  const double passes = stats.prompt_seconds + stats.decode_seconds;
  return stats.gpu_link_busy_seconds > 0 ? ratio(std::min(stats.gpu_link_busy_seconds, passes), passes) : std::nullopt;
}

nlohmann::ordered_json number_or_null(std::optional<double> number) {
  return number ? nlohmann::ordered_json(*number) : nlohmann::ordered_json(nullptr);
}

}  // namespace

std::string statistics_line(const EngineStats& stats, const Plan& plan) {
  const auto read = ratio(as_double(stats.decode_bytes), as_double(stats.decoded_tokens));
  const std::string drafts = stats.drafted_tokens == 0 ? ""
                                                       : fmt::format("; drafts {} of {} accepted",
                                                                     stats.accepted_draft_tokens, stats.drafted_tokens);
  return fmt::format("{}{}; prompt {}; experts {}; {}/token read; memory {}",
                     tokens_and_rate(stats.answer_tokens, stats.decoded_tokens, stats.decode_seconds), drafts,
                     tokens_and_rate(stats.prompt_tokens, stats.prompt_tokens, stats.prompt_seconds), experts_of(stats),
                     read ? format_bytes(static_cast<uint64_t>(*read)) : "n/a bytes",
                     memory_of(stats.memory_peak, plan));
}

std::string copies_line(const EngineStats& stats, const Plan& plan) {
  const uint64_t sum = std::accumulate(stats.copy_bytes.begin(), stats.copy_bytes.end(), uint64_t{0});
  if (sum == 0) {
    return {};
  }
  std::string line;
  for (size_t i = 0; i < std::min(plan.copies.size(), stats.copy_bytes.size()); ++i) {
    line += fmt::format("{}{} {:.0f} %", i == 0 ? "read from: " : ", ", plan.copies[i],
                        100 * as_double(stats.copy_bytes[i]) / as_double(sum));
  }
  return line;
}

std::string workers_line(const EngineStats& stats, const Plan& plan) {
  const char* what = plan.placement.experts.streamed ? "expert" : "part";
  const bool layers = std::ranges::any_of(plan.workers, [](const WorkerPlan& it) { return it.layers > 0; });
  std::string line;
  for (const WorkerCounters& it : stats.workers) {
    line += (line.empty() ? "workers: " : "; ") + it.name;
    if (layers) {
      line += fmt::format(" {} visit{}, {} there, {} back, waited {:.2f} s", it.asks, it.asks == 1 ? "" : "s",
                          format_bytes(it.sent_bytes), format_bytes(it.received_bytes), it.wait_seconds);
    } else {
      line += fmt::format(" {} {}{}", it.experts, what, it.experts == 1 ? "" : "s");
    }
    if (const auto hits = ratio(100 * as_double(it.expert_hits), as_double(it.experts))) {
      line += fmt::format(", {:.1f} % hit, waited {:.2f} s", *hits, it.wait_seconds);
    }
    if (it.losses > 0) {
      line += fmt::format(", lost {} time{}", it.losses, it.losses == 1 ? "" : "s");
    }
    line += it.joined == 0 ? ", not there" : "";
  }
  return line;
}

std::string statistics_json(const EngineStats& stats, const Plan& plan, std::string_view model,
                            std::optional<StopReason> stop) {
  const auto prompt_tokens = as_double(stats.prompt_tokens);
  const auto decoded_tokens = as_double(stats.decoded_tokens);
  nlohmann::ordered_json json = {
      {"model", model},
      {"stop", stop ? nlohmann::ordered_json(stop_name(*stop)) : nlohmann::ordered_json(nullptr)},
  };
  for (const Counter<EngineStats>& counter : engine_counters()) {
    with_number(counter, stats, [&](auto number) { json[std::string(counter.name)] = number; });
  }
  json.update({
      {"prompt_tokens_per_second", number_or_null(ratio(prompt_tokens, stats.prompt_seconds))},
      {"decode_tokens_per_second", number_or_null(ratio(decoded_tokens, stats.decode_seconds))},
      {"expert_hit_rate", number_or_null(ratio(as_double(stats.expert_hits), as_double(stats.expert_lookups)))},
      {"gpu_expert_hit_rate",
       number_or_null(ratio(as_double(stats.gpu_expert_hits), as_double(stats.gpu_expert_lookups)))},
      {"gpu_link_busy", number_or_null(link_busy(stats))},
      {"decode_bytes_per_token", number_or_null(ratio(as_double(stats.decode_bytes), decoded_tokens))},
      {"mode", to_string(plan.mode())},
      {"plan", plan.sentence},
      {"why", plan.why},
      {"predicted_tokens_per_second", plan.prediction.tokens_per_second},
      {"predicted_tokens_per_second_without_workers",
       number_or_null(ratio(plan.alone_tokens_per_second, plan.workers.empty() ? 0 : 1))},
      {"bound_tokens_per_second", plan.prediction.bound_tokens_per_second},
      {"ubatch", plan.placement.ubatch},
      {"kv_type", to_string(plan.placement.kv_type)},
      {"budget", plan.budget},
      {"process_margin", plan.process_overhead},
  });
  json["gpu"] = plan.device ? nlohmann::ordered_json{{"name", plan.device->name},
                                                     {"budget", plan.device->budget},
                                                     {"experts", plan.device->experts}}
                            : nlohmann::ordered_json(nullptr);
  json["gpus"] = nlohmann::ordered_json::array();
  for (const GpuCounters& gpu : stats.gpus) {
    nlohmann::ordered_json& its = json["gpus"].emplace_back(nlohmann::ordered_json{{"name", gpu.name}});
    for (const Counter<GpuCounters>& counter : gpu_counters()) {
      with_number(counter, gpu, [&](auto number) { its[std::string(counter.name)] = number; });
    }
  }
  json["workers"] = nlohmann::ordered_json::array();
  for (const WorkerCounters& worker : stats.workers) {
    nlohmann::ordered_json& its = json["workers"].emplace_back(nlohmann::ordered_json{{"name", worker.name}});
    for (const Counter<WorkerCounters>& counter : worker_counters()) {
      with_number(counter, worker, [&](auto number) { its[std::string(counter.name)] = number; });
    }
  }
  json["copies"] = nlohmann::ordered_json::array();
  for (size_t i = 0; i < std::min(plan.copies.size(), stats.copy_bytes.size()); ++i) {
    json["copies"].push_back({{"path", plan.copies[i]}, {"bytes", stats.copy_bytes[i]}});
  }
  json["ledger"] = nlohmann::ordered_json::array();
  for (const LedgerLine& line : plan.ledger) {
    json["ledger"].push_back({{"purpose", to_string(line)}, {"bytes", line.bytes}, {"tier", to_string(line.tier)}});
  }
  return json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

std::string ledger_table(const Plan& plan) {
  std::vector<std::pair<std::string, uint64_t>> lines;
  uint64_t sum = 0;
  uint64_t on_device = 0;
  for (const LedgerLine& line : plan.ledger) {
    lines.emplace_back(to_string(line), line.bytes);
    (line.tier == Tier::kDevice ? on_device : sum) += line.bytes;
  }
  if (on_device > 0) {
    lines.emplace_back("sum on the GPU", on_device);
  }
  if (plan.device) {
    lines.emplace_back("budget on the GPU", plan.device->budget);
  }
  lines.emplace_back("sum", sum);
  lines.emplace_back("budget", plan.budget);
  lines.emplace_back(to_string(Purpose::kProcessOverhead), plan.process_overhead);
  size_t width = 0;
  for (const auto& [name, bytes] : lines) {
    width = std::max(width, name.size());
  }
  std::string table;
  for (const auto& [name, bytes] : lines) {
    table += fmt::format("  {:<{}}  {:>11}\n", name, width, format_bytes(bytes));
  }
  return table;
}

std::string ledger_comparison(const Plan& plan, const std::vector<LedgerLine>& reserved) {
  struct Row {
    std::string name;
    uint64_t planned = 0;
    uint64_t reserved = 0;
  };
  std::vector<std::pair<std::pair<Purpose, Tier>, Row>> rows;
  std::vector<LedgerLine> planned = plan.ledger;
  planned.push_back({Purpose::kProcessOverhead, plan.process_overhead});
  for (const LedgerLine& line : planned) {
    rows.push_back({{line.purpose, line.tier}, {to_string(line), line.bytes, 0}});
  }
  for (const LedgerLine& line : reserved) {
    const auto has_purpose = [&](const auto& row) { return row.first == std::pair(line.purpose, line.tier); };
    auto row = std::find_if(rows.begin(), rows.end(), has_purpose);
    if (row == rows.end()) {
      row = rows.insert(rows.end() - 1, {{line.purpose, line.tier}, {to_string(line), 0, 0}});
    }
    row->second.reserved += line.bytes;
  }
  Row sum{"sum", 0, 0};
  Row on_device{"sum on the GPU", 0, 0};
  size_t width = 0;
  for (const auto& [key, row] : rows) {
    Row& its = key.second == Tier::kDevice ? on_device : sum;
    its.planned += row.planned;
    its.reserved += row.reserved;
    width = std::max(width, row.name.size());
  }
  if (on_device.planned > 0 || on_device.reserved > 0) {
    rows.push_back({{Purpose::kProcessOverhead, Tier::kDevice}, on_device});
  }
  rows.push_back({{Purpose::kProcessOverhead, Tier::kRam}, sum});
  std::string table = fmt::format("  {:<{}}  {:>11}  {:>11}\n", "", width, "planned", "reserved");
  for (const auto& [key, row] : rows) {
    table += fmt::format("  {:<{}}  {:>11}  {:>11}\n", row.name, width, format_bytes(row.planned),
                         format_bytes(row.reserved));
  }
  table += plan.device ? fmt::format("  budget on the GPU {}\n", format_bytes(plan.device->budget)) : "";
  return table + fmt::format("  budget {}, and {} of process overhead\n", format_bytes(plan.budget),
                             format_bytes(plan.process_overhead));
}

}  // namespace hypura
