#include "bench/report/plot.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <sstream>
#include <string_view>
#include <utility>

#include "bench/isolation/process.h"
#include "support/fail.h"
#include "support/units.h"

namespace hypura {

namespace {

constexpr const char* kOurs = "#1f5fa8";
constexpr const char* kPlain = "#aeb6c1";
constexpr const char* kPredicted = "#e0912f";
constexpr const char* kInk = "#2b2f36";
constexpr const char* kAxis = "#9aa1ab";
constexpr const char* kGrid = "#e3e6ea";
constexpr const char* kWhite = "#ffffff";

struct SplitPart {
  double TimeSplit::*seconds;
  const char* title;
  const char* colour;
  const char* text_colour;
};
constexpr std::array<SplitPart, 4> kParts = {{{&TimeSplit::io_wait, "waiting for the disk", "#d9574a", kWhite},
                                              {&TimeSplit::streamed, "experts, streamed weights", kOurs, kWhite},
                                              {&TimeSplit::other, "other computing", "#7fb0e3", kInk},
                                              {&TimeSplit::overhead, "overhead", "#c7ccd3", kInk}}};

// Pixels at the size of the SVG; a PNG has twice as many each way.
constexpr int kHeight = 460;
constexpr int kSplitWidth = 560;

int speed_width(size_t arms) {
  return std::max(260, 80 + 100 * static_cast<int>(arms));
}

// Text as it stands between gnuplot's double quotes.
std::string escaped(const std::string& text) {
  std::string safe;
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      safe += '\\';
    }
    safe += static_cast<unsigned char>(c) < ' ' ? ' ' : c;
  }
  return safe;
}

std::string quoted(const std::string& text) {
  return "\"" + escaped(text) + "\"";
}

// Two lines, one under the other.
std::string quoted(const std::string& upper, const std::string& lower) {
  return "\"" + escaped(upper) + "\\n" + escaped(lower) + "\"";
}

// "plain, 128 KiB readahead" in three lines: it stands under a narrow bar.
std::string label_of(const std::string& title) {
  std::string text = escaped(title);
  for (const auto& [from, to] : {std::pair(", ", "\\n"), std::pair(" readahead", "\\nreadahead")}) {
    if (const size_t at = text.find(from); at != std::string::npos) {
      text.replace(at, std::string_view(from).size(), to);
    }
  }
  return "\"" + text + "\"";
}

std::string settings_of(const BenchReport& report, const std::filesystem::path& output, int width) {
  const bool png = output.extension() == ".png";
  const std::string terminal = png ? fmt::format("pngcairo size {},{} font 'DejaVu Sans,19'", 2 * width, 2 * kHeight)
                                   : fmt::format("svg size {},{} dynamic font 'sans-serif,12'", width, kHeight);
  const std::string title =
      fmt::format("{} ({}) {}", report.model_name, format_bytes(report.model_bytes), memory_text(report.options));
  return fmt::format(
      "set encoding utf8\nset terminal {} background '{}' noenhanced\nset output {}\nset multiplot\n"
      "set label 1 {} at screen 0.5,0.955 center font ',{}' tc rgb '{}'\n"
      "set style fill solid 1 noborder\nset boxwidth 0.6\nset border 2 lc rgb '{}'\n"
      "set tics nomirror scale 0 tc rgb '{}'\nset title tc rgb '{}'\nset grid ytics lt 1 lc rgb '{}'\n"
      "set tmargin 4\nset bmargin 6\nset key top right reverse Left samplen 1 tc rgb '{}'\n",
      terminal, kWhite, quoted(output.string()), quoted(title), png ? 25 : 16, kInk, kAxis, kInk, kInk, kGrid, kInk);
}

// One panel of bars: the speed of each arm with its range, and beside hypura's what the plan predicted.
std::string speed_panel(const BenchReport& report, const char* title, std::optional<Spread> ArmFigures::*figure,
                        const std::optional<Against>& prediction) {
  std::string bars;
  std::string ticks;
  double top = prediction ? prediction->predicted : 0;
  const auto& arms = report.figures.arms;
  for (size_t i = 0; i < arms.size(); ++i) {
    ticks += fmt::format("{}{} {}", i == 0 ? "" : ", ", label_of(arms[i].title), i);
    if (const std::optional<Spread>& speed = arms[i].*figure; speed) {
      bars += fmt::format("{} {} {} {} {} {}\n", i, speed->median, speed->low, speed->high, arms[i].plain ? 1 : 0,
                          quoted(to_text(speed->median)));
      top = std::max(top, speed->high);
    }
  }
  if (bars.empty()) {
    bars = "0 NaN NaN NaN 0 \"\"\n";
  }
  // The data are named after the panel's title, which is one word.
  std::string text = fmt::format(
      "${0} << EOD\n{1}EOD\nset title \"{0}, tokens a second\"\nset xtics ({2})\nset xrange [-0.6:{3}]\n"
      "set yrange [0:{4}]\n",
      title, bars, ticks, static_cast<double>(arms.size()) - 0.4, std::max(top, 1e-3) * (prediction ? 1.35 : 1.18));
  text += fmt::format(
      "plot ${0} using 1:($5 == 0 ? $2 : NaN) with boxes fc rgb '{1}' notitle, \\\n"
      "  ${0} using 1:($5 == 1 ? $2 : NaN) with boxes fc rgb '{2}' notitle, \\\n"
      "  ${0} using 1:3:(0):($4 - $3) with vectors heads size screen 0.004,90 lw 1.5 lc rgb '{3}' notitle, \\\n"
      "  ${0} using 1:4:6 with labels offset 0,0.8 tc rgb '{3}' notitle",
      title, kOurs, kPlain, kInk);
  if (prediction) {
    text += fmt::format(
        ", \\\n  ${} using (-0.38):($1 == 0 ? {} : NaN) with points pt 13 ps 1.3 lc rgb '{}' title 'predicted'", title,
        prediction->predicted, kPredicted);
  }
  return text + "\n";
}

// A bar for a token and one for the prompt, each divided into where its time went. A block of data for each part.
std::string split_panel(const BenchFigures& figures) {
  struct Bar {
    const char* name = nullptr;
    const std::optional<TimeSplit>& split;
    int place = 0;
    double done = 0;  // per cent
  };
  std::array<Bar, 2> bars = {Bar{"a token", figures.token_split, 1}, Bar{"the prompt", figures.prompt_split, 0}};
  std::string data;
  std::string ticks;
  std::string boxes;
  std::string labels;
  for (size_t i = 0; i < kParts.size(); ++i) {
    const SplitPart& part = kParts[i];
    for (Bar& bar : bars) {
      const double share = bar.split ? 100 * bar.split.value().*part.seconds / bar.split->sum() : 0;
      data += fmt::format("{} {} {} {} {} {} \"{}\"\n", bar.done + share / 2, bar.place, bar.done, bar.done + share,
                          bar.place - 0.3, bar.place + 0.3, share >= 7 ? fmt::format("{:.0f} %", share) : "");
      bar.done += share;
    }
    data += "\n\n";
    boxes += fmt::format("{}$split index {} using 1:2:3:4:5:6 with boxxyerror fc rgb '{}' title '{}'",
                         i == 0 ? "plot " : ", \\\n  ", i, part.colour, part.title);
    labels += fmt::format(", \\\n  $split index {} using 1:2:7 with labels tc rgb '{}' notitle", i, part.text_colour);
  }
  for (const Bar& bar : bars) {
    if (bar.split) {
      ticks +=
          fmt::format("{}{} {}", ticks.empty() ? "" : ", ", quoted(bar.name, time_text(bar.split->sum())), bar.place);
    }
  }
  return fmt::format(
      "$split << EOD\n{}EOD\nset title 'Where the time goes'\nset border 0\nunset grid\nset ytics ({})\nunset xtics\n"
      "set xrange [0:100]\nset yrange [-0.6:1.6]\nset rmargin 3\n"
      "set key outside bottom center horizontal reverse Left samplen 1 width 2 maxcols 2\n{}{}\n",
      data, ticks, boxes, labels);
}

}  // namespace

std::string plot_script(const BenchReport& report, const std::filesystem::path& output) {
  const BenchFigures& figures = report.figures;
  const bool split = figures.token_split || figures.prompt_split;
  const int panel = speed_width(figures.arms.size());
  const int width = 2 * panel + (split ? kSplitWidth : 0);
  const auto place = [width](int left, int size) {
    return fmt::format("set origin {:.4f},0\nset size {:.4f},0.93\n", static_cast<double>(left) / width,
                       static_cast<double>(size) / width);
  };
  const auto& prediction = figures.prediction;
  std::string text = settings_of(report, output, width);
  text += place(0, panel) + speed_panel(report, "Decode", &ArmFigures::decode,
                                        prediction ? std::optional(prediction->decode) : std::nullopt);
  text += "unset label 1\n" + place(panel, panel) +
          speed_panel(report, "Prompt", &ArmFigures::prefill, prediction ? prediction->prefill : std::nullopt);
  if (split) {
    text += place(2 * panel, kSplitWidth) + split_panel(figures);
  }
  return text + "unset multiplot\nunset output\n";
}

Result<std::filesystem::path> find_gnuplot() {
  const char* path = std::getenv("PATH");
  std::istringstream folders(path == nullptr ? "" : path);
  for (std::string folder; std::getline(folders, folder, ':');) {
    std::filesystem::path program = std::filesystem::path(folder) / "gnuplot";
    if (::access(program.c_str(), X_OK) == 0) {
      return program;
    }
  }
  return fail(
      ErrorCode::kUsage,
      "--plot needs gnuplot, and there is none in PATH; install it (Debian: apt install gnuplot-nox, macOS: brew "
      "install gnuplot) or leave --plot out");
}

Status draw_plot(const std::filesystem::path& gnuplot, const std::string& script, const std::filesystem::path& output) {
  ProcessRequest request;
  request.program = gnuplot;
  request.arguments = {"gnuplot"};
  request.input = script;
  const auto outcome = run_process(request);
  if (!outcome) {
    return propagate(outcome.error());
  }
  std::error_code ignored;
  if (outcome->exit_status != 0 || outcome->signal != 0 || outcome->timed_out ||
      std::filesystem::file_size(output, ignored) == 0 || ignored) {
    return fail(ErrorCode::kIo, "--plot {}: {} wrote no image (exit status {})", output.string(), gnuplot.string(),
                outcome->exit_status);
  }
  return {};
}

}  // namespace hypura
