#include <fmt/format.h>

#include <algorithm>
#include <sstream>

#include "bench/report/report.h"
#include "support/units.h"

namespace hypura {

namespace {

using Row = std::vector<std::string>;

constexpr size_t kLabelWidth = 24;
constexpr const char* kMissing = "n/a";

std::string scaled(const std::optional<Spread>& spread, double unit) {
  return spread ? to_text(Spread{spread->median / unit, spread->low / unit, spread->high / unit}) : kMissing;
}

std::string text_or_missing(const std::optional<double>& value) {
  return value ? to_text(*value) : kMissing;
}

// One quantity over all arms; `ratio` is left out without a baseline.
Row row_of(const BenchFigures& figures, const char* label, std::optional<Spread> ArmFigures::*figure, double unit,
           const std::optional<double>* ratio) {
  Row row = {label};
  for (const ArmFigures& arm : figures.arms) {
    row.push_back(scaled(arm.*figure, unit));
  }
  if (figures.arms.size() > 1) {
    row.push_back(ratio == nullptr ? "" : text_or_missing(*ratio));
  }
  return row;
}

std::vector<Row> rows_of(const BenchFigures& figures) {
  Row head = {""};
  for (const ArmFigures& arm : figures.arms) {
    head.push_back(arm.title);
  }
  if (figures.arms.size() > 1) {
    head.push_back("x best plain");
  }
  const bool in_cgroup = figures.arms.front().cgroup_peak.has_value();
  std::vector<Row> rows = {head,
                           row_of(figures, "decode, tok/s", &ArmFigures::decode, 1, &figures.ratios.decode),
                           row_of(figures, "prompt, tok/s", &ArmFigures::prefill, 1, &figures.ratios.prefill),
                           row_of(figures, "first token, s", &ArmFigures::first_token, 1, &figures.ratios.first_token),
                           row_of(figures, "loading, s", &ArmFigures::load, 1, nullptr),
                           row_of(figures, "read for a token, MB", &ArmFigures::bytes_per_token, 1e6, nullptr),
                           row_of(figures, "read for the prompt, MB", &ArmFigures::prompt_bytes, 1e6, nullptr),
                           row_of(figures, "memory peak, MB",
                                  in_cgroup ? &ArmFigures::cgroup_peak : &ArmFigures::process_peak, 1e6, nullptr)};
  if (figures.arms.front().vram_peak) {
    rows.push_back(row_of(figures, "VRAM taken, MB", &ArmFigures::vram_peak, 1e6, nullptr));
  }
  return rows;
}

std::string aligned(const std::vector<Row>& rows) {
  std::vector<size_t> widths(rows.front().size());
  widths.front() = kLabelWidth;
  for (const Row& row : rows) {
    for (size_t i = 0; i < row.size(); ++i) {
      widths[i] = std::max(widths[i], row[i].size());
    }
  }
  std::string text;
  for (const Row& row : rows) {
    std::string line;
    for (size_t i = 0; i < row.size(); ++i) {
      line += fmt::format("{:<{}}  ", row[i], widths[i]);
    }
    text += line.substr(0, line.find_last_not_of(' ') + 1) + "\n";
  }
  return text;
}

std::string line_of(const char* label, const std::string& text) {
  return fmt::format("{:<{}}  {}\n", label, kLabelWidth, text);
}

std::string split_text(const TimeSplit& split) {
  const double sum = split.sum();
  const auto part = [sum](double seconds, const char* what) {
    return fmt::format("{:.0f} % {}", 100 * seconds / sum, what);
  };
  return fmt::format("{}: {}, {}, {}, {}", time_text(sum), part(split.io_wait, "waiting for the disk"),
                     part(split.streamed, "computing experts and streamed weights"),
                     part(split.other, "other computing"), part(split.overhead, "overhead"));
}

std::string bound_text(const BenchFigures& figures) {
  const BoundFigures& bound = *figures.bound;
  const std::string disk =
      fmt::format("the disk gives {} GB/s, a token reads {} MB", to_text(bound.disk_bytes_per_second.median / 1e9),
                  to_text(figures.arms.front().bytes_per_token->median / 1e6));
  return fmt::format("{} tok/s, set by {}; {}; {:.2f} of it was reached", to_text(bound.tokens_per_second),
                     bound.by_compute ? "computing" : "the disk", disk, bound.share);
}

std::string against_text(const char* what, const Against& figure, double unit, const char* unit_name) {
  return fmt::format("{} {}{} ({:+.1f} %)", what, to_text(figure.predicted / unit), unit_name, 100 * figure.error);
}

std::string prediction_text(const PredictionFigures& prediction) {
  std::string text = against_text("decode", prediction.decode, 1, " tok/s");
  if (prediction.prefill) {
    text += ", " + against_text("prompt", *prediction.prefill, 1, " tok/s");
  }
  if (prediction.bytes_per_token) {
    text += ", " + against_text("a token reads", *prediction.bytes_per_token, 1e6, " MB");
  }
  if (prediction.hit_rate) {
    text += ", " + against_text("experts in memory", *prediction.hit_rate, 0.01, " %");
    text += fmt::format(" by {}", prediction.hit_rate_source);
  }
  return text + ", " + against_text("peak of the process", prediction.memory_peak, 1e6, " MB");
}

std::string details_of(const BenchReport& report) {
  const BenchFigures& figures = report.figures;
  std::string text;
  if (figures.drafts) {
    text += line_of("drafts accepted", to_text(*figures.drafts));
  } else if (report.options.draft.any()) {
    text += line_of("drafts accepted", "none were made");
  }
  if (figures.hit_rate) {
    text += line_of("experts in memory", scaled(figures.hit_rate, 0.01) + " %");
  }
  if (figures.gpu_hit_rate && figures.gpu_bytes) {
    text += line_of("of them in VRAM", fmt::format("{} %, {} MB copied up and down for a token",
                                                   scaled(figures.gpu_hit_rate, 0.01), scaled(figures.gpu_bytes, 1e6)));
  }
  if (figures.disk_rate && figures.disk_busy) {
    text +=
        line_of("disk while decoding", fmt::format("{} GB/s at least, busy {} % of the time at most",
                                                   scaled(figures.disk_rate, 1e9), scaled(figures.disk_busy, 0.01)));
  }
  if (figures.token_split) {
    text += line_of("a token's time", split_text(*figures.token_split));
  }
  if (figures.prompt_split) {
    text += line_of("the prompt's time", split_text(*figures.prompt_split));
  }
  if (figures.bound) {
    text += line_of("bound", bound_text(figures));
  } else {
    text += line_of(
        "bound", report.no_bound.empty() ? "none by the disk: decoding reads nothing" : "unknown: " + report.no_bound);
  }
  if (figures.prediction) {
    text += line_of("predicted", prediction_text(*figures.prediction));
  } else if (!figures.no_prediction.empty()) {
    text += line_of("predicted", "nothing: " + figures.no_prediction);
  }
  return text;
}

// "; drafts by n-grams, MTP and small.gguf", "; drafts of 4 by n-grams", or "".
std::string drafts_text(const DraftOptions& draft) {
  std::vector<std::string> sources;
  if (draft.ngrams) {
    sources.emplace_back("n-grams");
  }
  if (draft.mtp) {
    sources.emplace_back("MTP");
  }
  if (!draft.model.empty()) {
    sources.push_back(draft.model.filename().string());
  }
  const std::string begin = draft.tokens == 0 ? "; drafts by " : fmt::format("; drafts of {} by ", draft.tokens);
  std::string text;
  for (size_t i = 0; i < sources.size(); ++i) {
    const std::string between = i == 0 ? begin : i + 1 == sources.size() ? " and " : ", ";
    text += between + sources[i];
  }
  return text;
}

// "; 2 mirrors", or "".
std::string mirrors_text(const BenchOptions& options) {
  const size_t mirrors = options.mirrors.size();
  return mirrors == 0 ? std::string() : fmt::format("; {} mirror{}", mirrors, mirrors == 1 ? "" : "s");
}

// "; 2 workers", or "".
std::string workers_text(const BenchOptions& options) {
  const size_t workers = options.workers.size();
  return workers == 0 ? std::string() : fmt::format("; {} worker{}", workers, workers == 1 ? "" : "s");
}

// "\nVRAM: each may take 4.0 GiB of CUDA0's and 4.0 GiB of CUDA1's besides what a driver takes", or "".
std::string vram_text(const PlainSplits& splits) {
  if (splits.gpu.empty()) {
    return "";
  }
  std::string text;
  std::istringstream names(splits.gpu);
  std::string name;
  for (size_t i = 0; i < splits.vram.size() && std::getline(names, name, ','); ++i) {
    text += fmt::format("{}{} of {}'s", i > 0 ? " and " : "", format_bytes(splits.vram[i]), name);
  }
  const char* none = splits.splits.empty() ? "; plain llama.cpp fits in no way, so the processors compute it" : "";
  return fmt::format("\nVRAM: each may take {} besides what a driver takes{}", text, none);
}

std::string head_of(const BenchReport& report) {
  const BenchOptions& options = report.options;
  const MachineFacts& machine = report.machine;
  return fmt::format(
      "{}, {}, {}; {} prompt tokens, then {} tokens; {} round{}; {} thread{}{}{}{}\n"
      "{}, {} cores, {}, {}; load average {:.2f} before the first run\n"
      "plan: {}\nruns: {}{}\n",
      report.model_name, format_bytes(report.model_bytes), memory_text(options), options.prompt_tokens, options.tokens,
      options.repeat, options.repeat == 1 ? "" : "s", options.threads, options.threads == 1 ? "" : "s",
      drafts_text(options.draft), mirrors_text(options), workers_text(options), machine.processor, machine.cores,
      format_bytes(machine.memory), machine.kernel, machine.load_average, report.figures.plan, report.limits.sentence,
      vram_text(report.plain_splits));
}

std::string failures_of(const BenchFigures& figures) {
  std::string text;
  for (const ArmFigures& arm : figures.arms) {
    for (const std::string& failure : arm.failures) {
      text += fmt::format("failed: {}: {}\n", arm.title, failure);
    }
  }
  return text;
}

}  // namespace

std::string memory_text(const BenchOptions& options) {
  return options.memory ? "in " + format_bytes(*options.memory) : "with all the memory there is";
}

std::string time_text(double seconds) {
  return seconds < 1 ? to_text(seconds * 1e3) + " ms" : to_text(seconds) + " s";
}

std::string bench_table(const BenchReport& report) {
  std::string notes = failures_of(report.figures);
  for (const std::string& sentence : report.uncontrolled) {
    notes += fmt::format("not controlled: {}\n", sentence);
  }
  return head_of(report) + "\n" + aligned(rows_of(report.figures)) + "\n" + details_of(report) +
         (notes.empty() ? "" : "\n" + notes);
}

}  // namespace hypura
