#include "store/catalogue/remove.h"

#include <algorithm>

#include "store/catalogue/created.h"
#include "store/catalogue/fetched.h"
#include "store/catalogue/walk.h"
#include "support/fail.h"

namespace hypura {

namespace {

bool has_file(const FetchedModel& model, const std::filesystem::path& file) {
  const std::filesystem::path real = in_real_folder(file);
  return std::ranges::any_of(model.files, [&](const FetchedFile& it) { return in_real_folder(it.path) == real; });
}

}  // namespace

Result<RemovedModel> remove_model(const Catalogue& catalogue, const std::filesystem::path& data,
                                  std::string_view name) {
  const auto found = find_any_in(catalogue, name);
  if (!found) {
    return fail(found.error().code, "'{}' is no model on this machine; `hypura list` shows those that are", name);
  }
  const CatalogueEntry& entry = **found;
  if (entry.origin == ModelOrigin::kCreated) {
    return remove_created(data, entry.name).map([&] { return RemovedModel{entry.name, 0}; });
  }
  if (!entry.ours) {
    return fail(ErrorCode::kUsage, "{} was not fetched by Hypura: it lies in {} ({}); remove it there", entry.name,
                entry.place.string(), origin_words(entry.origin));
  }
  std::vector<std::string> problems;
  RemovedModel removed{entry.name, 0};
  for (const FetchedModel& model : fetched_models(data, problems)) {
    if (has_file(model, entry.files.front())) {
      const auto bytes = remove_fetched(data, model);
      if (!bytes) {
        return propagate(bytes.error());
      }
      removed.bytes += *bytes;
    }
  }
  return removed;
}

}  // namespace hypura
