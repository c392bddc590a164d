#include "cli/statistics.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <numeric>

#include "generate/counters.h"
#include "support/units.h"

namespace hypura {

namespace {

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
std::string memory_of(uint64_t peak, const PlanSummary& plan) {
  if (plan.budget == 0) {
    return format_bytes(peak);
  }
  return bytes_of(peak, plan.budget + plan.process) +
         fmt::format(" ({} for the model, {} for the program)", format_bytes(plan.budget), format_bytes(plan.process));
}

nlohmann::ordered_json number_or_null(std::optional<double> number) {
  return number ? nlohmann::ordered_json(*number) : nlohmann::ordered_json(nullptr);
}

double as_double(uint64_t count) {
  return static_cast<double>(count);
}

}  // namespace

std::string statistics_line(const EngineStats& stats, const PlanSummary& plan) {
  const auto hits = ratio(as_double(stats.expert_hits), as_double(stats.expert_lookups));
  const auto read = ratio(as_double(stats.decode_bytes), as_double(stats.decoded_tokens));
  const std::string drafts = stats.drafted_tokens == 0 ? ""
                                                       : fmt::format("; drafts {} of {} right",
                                                                     stats.right_drafted_tokens, stats.drafted_tokens);
  return fmt::format("{}{}; prompt {}; experts {}; {}/token read; memory {}",
                     tokens_and_rate(stats.answer_tokens, stats.decoded_tokens, stats.decode_seconds), drafts,
                     tokens_and_rate(stats.prompt_tokens, stats.prompt_tokens, stats.prompt_seconds),
                     hits ? fmt::format("{:.1f} % hit", *hits * 100) : "n/a",
                     read ? format_bytes(static_cast<uint64_t>(*read)) : "n/a bytes",
                     memory_of(stats.memory_peak, plan));
}

std::string copies_line(const EngineStats& stats, const PlanSummary& plan) {
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

std::string statistics_json(const EngineStats& stats, const PlanSummary& plan, std::string_view model,
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
      {"decode_bytes_per_token", number_or_null(ratio(as_double(stats.decode_bytes), decoded_tokens))},
      {"mode", plan.mode},
      {"plan", plan.sentence},
      {"why", plan.why},
      {"predicted_tokens_per_second", plan.tokens_per_second},
      {"bound_tokens_per_second", plan.bound_tokens_per_second},
      {"ubatch", plan.ubatch},
      {"kv_type", plan.kv_type},
      {"budget", plan.budget},
      {"process_margin", plan.process},
  });
  json["copies"] = nlohmann::ordered_json::array();
  for (size_t i = 0; i < std::min(plan.copies.size(), stats.copy_bytes.size()); ++i) {
    json["copies"].push_back({{"path", plan.copies[i]}, {"bytes", stats.copy_bytes[i]}});
  }
  json["ledger"] = nlohmann::ordered_json::array();
  for (const LedgerLine& line : plan.ledger) {
    json["ledger"].push_back({{"purpose", line.purpose}, {"bytes", line.bytes}});
  }
  return json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

std::string ledger_table(const PlanSummary& plan) {
  std::vector<LedgerLine> lines = plan.ledger;
  LedgerLine sum{"sum", 0};
  for (const LedgerLine& line : lines) {
    sum.bytes += line.bytes;
  }
  lines.push_back(sum);
  lines.push_back({"budget", plan.budget});
  lines.push_back({"for the process besides", plan.process});
  size_t width = 0;
  for (const LedgerLine& line : lines) {
    width = std::max(width, line.purpose.size());
  }
  std::string table;
  for (const LedgerLine& line : lines) {
    table += fmt::format("  {:<{}}  {:>11}\n", line.purpose, width, format_bytes(line.bytes));
  }
  return table;
}

}  // namespace hypura
