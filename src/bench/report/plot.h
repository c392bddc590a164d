// The figures of `hypura bench` as a picture, drawn by gnuplot.
#pragma once

#include <filesystem>
#include <string>

#include "bench/report/report.h"
#include "hypura/result.h"

namespace hypura {

// What gnuplot is told: settings and data in one text. Bars of decoding and prompt speed for each arm with their
// ranges, what the plan predicted as a mark, and where the time went. `output` ends in .svg or .png.
std::string plot_script(const BenchReport& report, const std::filesystem::path& output);

// gnuplot as the user's PATH has it. Fails with kUsage, saying how to install it, when it has none.
Result<std::filesystem::path> find_gnuplot();

// Runs `gnuplot` on `script`. Fails with kIo when it did not make the picture.
Status draw_plot(const std::filesystem::path& gnuplot, const std::string& script, const std::filesystem::path& output);

}  // namespace hypura
