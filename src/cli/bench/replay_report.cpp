#include "cli/bench/replay_report.h"

#include <unistd.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "cli/output.h"
#include "residency/coactivation.h"
#include "support/fail.h"
#include "support/write_file.h"

namespace hypura {

namespace {

double percent(const ReplayResult& result) {
  return result.hit_rate() * 100;
}

std::vector<uint32_t> usual_slots(const RoutingTrace& trace) {
  const uint64_t all = uint64_t{trace.layers} * trace.experts;
  std::vector<uint32_t> slots;
  for (uint32_t eighths : {1, 2, 3, 4, 6}) {
    slots.push_back(static_cast<uint32_t>(std::max<uint64_t>(all * eighths / 8, 1)));
  }
  if (trace.slots > 0) {
    slots.push_back(trace.slots);
  }
  return slots;
}

// Each learns from the trace alone, as it goes.
std::vector<PredictorRow> predictor_rows(const RoutingTrace& trace, uint32_t slots, uint32_t spare) {
  if (trace.layers < 2) {
    return {};
  }
  PopularPrediction popular(trace.layers, trace.experts);
  CoActivation coactivation(trace.layers, trace.experts);
  return {{"popular", replay_predictions(trace, popular, slots, spare)},
          {"coactivation", replay_predictions(trace, coactivation, slots, spare)}};
}

std::string predictions_text(const ReplayReport& report) {
  std::string text =
      "\nPredictions of the next layer's experts, %. Recall: chosen experts that were predicted, with as many\n"
      "predictions as a token uses experts. Precision: of the surer half. Used: prefetched experts that the\n"
      "layer would have used. Covered: misses that prefetch would have covered.\n\n"
      "  slots  predictor    |  recall   prec.    used covered\n";
  for (const ReplayRow& row : report.rows) {
    for (const PredictorRow& it : row.predictions) {
      text += fmt::format("{:>7}  {:<12} | {:>7.2f} {:>7.2f} {:>7.2f} {:>7.2f}\n", row.slots, it.predictor,
                          it.result.recall(it.result.full) * 100, it.result.half.precision() * 100,
                          it.result.full.useful_share() * 100, it.result.covered_share(it.result.full) * 100);
    }
  }
  return text;
}

nlohmann::ordered_json predictions_json(uint32_t slots, const PredictorRow& row) {
  return {{"predictor", row.predictor},
          {"slots", slots},
          {"recall", row.result.recall(row.result.full)},
          {"precision_of_half", row.result.half.precision()},
          {"reads", row.result.full.reads},
          {"useful_reads", row.result.full.useful},
          {"predictable_misses", row.result.predictable}};
}

// What the run itself counted, next to the replay of it.
std::string recorded_text(const RoutingTrace& trace, const ReplayReport& report) {
  if (!report.recorded || !report.replayed) {
    return "recorded in several runs, or without a cache: there are no counters to compare with\n";
  }
  std::string text = fmt::format("recorded with {} slots: {:.2f} % hit; replayed with the same policy: {:.2f} %\n",
                                 trace.slots, percent(*report.recorded), percent(*report.replayed));
  if (trace.earlier > 0) {
    text += fmt::format("{} earlier tokens were not kept: the replay begins with an empty cache, the run did not\n",
                        trace.earlier);
  }
  return text;
}

nlohmann::ordered_json result_json(const ReplayResult& result, const char* pool) {
  return {{"policy", result.policy},   {"pool", pool},        {"slots", result.slots},
          {"lookups", result.lookups}, {"hits", result.hits}, {"hit_rate", result.hit_rate()}};
}

}  // namespace

ReplayReport replay_report(const RoutingTrace& trace, const std::vector<uint32_t>& slots) {
  ReplayReport report;
  report.spare = trace.spare > 0 ? trace.spare : trace.used;
  std::vector<uint32_t> wanted = slots.empty() ? usual_slots(trace) : slots;
  std::sort(wanted.begin(), wanted.end());
  wanted.erase(std::unique(wanted.begin(), wanted.end()), wanted.end());
  for (uint32_t count : wanted) {
    ReplayRow& row = report.rows.emplace_back();
    row.slots = count;
    for (Policy policy : {Policy::kLru, Policy::kLfu, Policy::kLive, Policy::kBelady}) {
      row.quotas.push_back(replay(trace, policy, count, report.spare));
    }
    for (Policy policy : {Policy::kLru, Policy::kLfu, Policy::kBelady}) {
      row.shared.push_back(replay(trace, policy, count, report.spare, Pool::kShared));
    }
    row.predictions = predictor_rows(trace, count, report.spare);
  }
  if (trace.slots > 0) {
    report.recorded = recorded_result(trace);
    report.replayed = replay(trace, Policy::kLive, trace.slots, trace.spare);
  }
  return report;
}

std::string replay_text(const RoutingTrace& trace, const ReplayReport& report) {
  const double all = static_cast<double>(trace.layers) * trace.experts;
  std::string text = fmt::format(
      "{}: {} layers of {} experts, {} used; {} decode tokens, {} tokens of prompts\n{}\n"
      "Experts hit in decode, %. Slots are for all layers; {} of them are kept free between passes.\n\n"
      "                  | a quota for each layer      | one pool for all\n"
      "  slots     share |    LRU    LFU   live Belady |    LRU    LFU Belady\n",
      trace.model.empty() ? "unnamed model" : trace.model, trace.layers, trace.experts, trace.used,
      trace.decode_tokens(), trace.tokens() - trace.decode_tokens(), recorded_text(trace, report), report.spare);
  for (const ReplayRow& row : report.rows) {
    text += fmt::format("{:>7}  {:>6.1f} % |", row.slots, row.slots * 100 / all);
    for (const ReplayResult& result : row.quotas) {
      text += fmt::format(" {:>6.2f}", percent(result));
    }
    text += " |";
    for (const ReplayResult& result : row.shared) {
      text += fmt::format(" {:>6.2f}", percent(result));
    }
    text += "\n";
  }
  return trace.layers < 2 ? text : text + predictions_text(report);
}

std::string replay_json(const RoutingTrace& trace, const ReplayReport& report) {
  nlohmann::ordered_json json = {{"model", trace.model},
                                 {"layers", trace.layers},
                                 {"experts", trace.experts},
                                 {"used", trace.used},
                                 {"decode_tokens", trace.decode_tokens()},
                                 {"prompt_tokens", trace.tokens() - trace.decode_tokens()},
                                 {"earlier_tokens", trace.earlier},
                                 {"spare", report.spare},
                                 {"recorded", nullptr},
                                 {"replayed", nullptr}};
  if (report.recorded && report.replayed) {
    json["recorded"] = result_json(*report.recorded, "layers");
    json["replayed"] = result_json(*report.replayed, "layers");
  }
  json["results"] = nlohmann::ordered_json::array();
  json["predictions"] = nlohmann::ordered_json::array();
  for (const ReplayRow& row : report.rows) {
    for (const ReplayResult& result : row.quotas) {
      json["results"].push_back(result_json(result, "layers"));
    }
    for (const ReplayResult& result : row.shared) {
      json["results"].push_back(result_json(result, "shared"));
    }
    for (const PredictorRow& it : row.predictions) {
      json["predictions"].push_back(predictions_json(row.slots, it));
    }
  }
  json["guesses"] = json["predictions"];  // its name until 0.1
  for (nlohmann::ordered_json& row : json["guesses"]) {
    row["guessable_misses"] = row["predictable_misses"];
  }
  return json.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

Result<int> replay_command(const ReplayOptions& options) {
  const auto trace = read_routing_trace(options.trace);
  if (!trace) {
    return propagate(trace.error());
  }
  if (trace->decode_tokens() == 0) {
    return fail(ErrorCode::kUsage, "{} has no decoded tokens; record a longer run", options.trace.string());
  }
  const ReplayReport report = replay_report(*trace, options.slots);
  if (options.json) {
    if (Status status = write_file(*options.json, replay_json(*trace, report)); !status) {
      return propagate(status.error());
    }
  }
  Output out(STDOUT_FILENO, "standard output");
  out.write(replay_text(*trace, report));
  return out.status().map([] { return 0; });
}

}  // namespace hypura
