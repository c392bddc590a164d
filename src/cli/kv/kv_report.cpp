#include "cli/kv/kv_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <system_error>

#include "support/printable.h"
#include "support/units.h"

namespace hypura {

namespace {

using KvRow = std::array<std::string, 4>;

int64_t seconds_unused(const KvFolder& folder) {
  const auto now = std::filesystem::file_time_type::clock::now();
  return folder.entries == 0
             ? 0
             : std::max<int64_t>(std::chrono::duration_cast<std::chrono::seconds>(now - folder.used).count(), 0);
}

std::string ago(int64_t seconds) {
  constexpr int64_t kMinute = 60;
  constexpr int64_t kHour = 60 * kMinute;
  constexpr int64_t kDay = 24 * kHour;
  const auto text = [](int64_t number, const char* unit) {
    return fmt::format("{} {}{} ago", number, unit, number == 1 ? "" : "s");
  };
  return seconds < 2 * kMinute ? "just now"
         : seconds < 2 * kHour ? text(seconds / kMinute, "minute")
         : seconds < 2 * kDay  ? text(seconds / kHour, "hour")
                               : text(seconds / kDay, "day");
}

std::string name_of(const KvFolder& folder) {
  return printable(std::filesystem::path(folder.identity.model).stem().string());
}

}  // namespace

std::string kv_text(const std::vector<KvFolder>& folders, const std::filesystem::path& root) {
  if (folders.empty()) {
    return fmt::format("Nothing is kept in {}.\n", root.string());
  }
  std::vector<KvRow> rows = {{"Model", "Entries", "Size", "Last used"}};
  uint64_t bytes = 0;
  for (const KvFolder& it : folders) {
    bytes += it.bytes;
    rows.push_back({name_of(it), fmt::format("{}", it.entries), format_bytes(it.bytes),
                    it.entries == 0 ? "" : ago(seconds_unused(it))});
  }
  std::array<size_t, 3> widths = {};
  for (const KvRow& row : rows) {
    for (size_t i = 0; i < widths.size(); ++i) {
      widths[i] = std::max(widths[i], row[i].size());
    }
  }
  std::string text;
  for (const KvRow& row : rows) {
    text +=
        fmt::format("{:<{}}  {:>{}}  {:>{}}  {}\n", row[0], widths[0], row[1], widths[1], row[2], widths[2], row[3]);
  }
  return text + fmt::format("\n{} in {}\n", format_bytes(bytes), root.string());
}

nlohmann::ordered_json kv_to_json(const std::vector<KvFolder>& folders, const std::filesystem::path& root) {
  nlohmann::ordered_json models = nlohmann::ordered_json::array();
  for (const KvFolder& it : folders) {
    models.push_back({{"model", it.identity.model},
                      {"computed", it.identity.way},
                      {"build", it.identity.build},
                      {"folder", it.folder.string()},
                      {"entries", it.entries},
                      {"bytes", it.bytes},
                      {"seconds_unused", seconds_unused(it)}});
  }
  return {{"folder", root.string()}, {"models", models}};
}

std::vector<KvFolder> kv_of_model(const std::vector<KvFolder>& folders, const std::filesystem::path& model) {
  std::error_code unknown;
  const std::filesystem::path whole = std::filesystem::absolute(model, unknown);
  std::vector<KvFolder> found;
  std::ranges::copy_if(folders, std::back_inserter(found), [&](const KvFolder& it) {
    const std::filesystem::path its(it.identity.model);
    return its == whole || its == model || its.filename() == model || its.stem() == model;
  });
  return found;
}

}  // namespace hypura
