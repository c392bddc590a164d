#include "server/library_local.h"

#include <algorithm>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>
#include <utility>

#include "server/server_text.h"
#include "store/catalogue/created.h"
#include "store/catalogue/remove.h"
#include "support/fail.h"
#include "support/log.h"

namespace hypura {

namespace {

using Steady = std::chrono::steady_clock;
constexpr std::ptrdiff_t kMostCreated = 1000;  // models; each is a small file

class LocalLibrary : public ModelLibrary {
 public:
  LocalLibrary(LibraryOptions options, ModelHost& host)
      : options_(std::move(options)), host_(host), thread_([this] { run(); }) {}
  ~LocalLibrary() override;
  LocalLibrary(const LocalLibrary&) = delete;
  LocalLibrary& operator=(const LocalLibrary&) = delete;

  void refresh(Done done) override;
  void changed(Done done) override { add({{}, std::move(done)}); }
  void remove(std::string name, Done done) override {
    add({[this, name = std::move(name)] { return remove_now(name); }, std::move(done)});
  }
  void create(NewModel model, Done done) override {
    add({[this, model = std::move(model)] { return create_now(model); }, std::move(done)});
  }

 private:
  // Something to do, and then to look again.
  struct Task {
    std::function<Status()> work;  // none: only look
    Done done;
  };

  void add(Task task);
  void run();
  Status look();
  Status guarded(const std::function<Status()>& work) const;
  const CatalogueEntry* entry_of(const std::string& served) const;
  Result<std::filesystem::path> data() const;
  Status remove_now(const std::string& name) const;
  Status create_now(const NewModel& model) const;

  const LibraryOptions options_;
  ModelHost& host_;

  std::mutex mutex_;  // guards what follows, up to the catalogue
  std::condition_variable added_;
  std::vector<Task> tasks_;
  bool stopping_ = false;
  bool looked_ = false;
  Steady::time_point rests_until_;  // before, what was found is new enough

  Catalogue catalogue_;  // of the library's thread
  std::thread thread_;
};

LocalLibrary::~LocalLibrary() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    added_.notify_all();
  }
  thread_.join();
}

void LocalLibrary::refresh(Done done) {
  {
    const std::lock_guard lock(mutex_);
    const bool fresh = looked_ && tasks_.empty() && Steady::now() < rests_until_;
    if (!fresh && !stopping_) {
      tasks_.push_back({{}, std::move(done)});
      added_.notify_all();
      return;
    }
  }
  done({});
}

void LocalLibrary::add(Task task) {
  {
    const std::lock_guard lock(mutex_);
    if (!stopping_) {
      tasks_.push_back(std::move(task));
      added_.notify_all();
      return;
    }
  }
  task.done(fail(ErrorCode::kCancelled, "the server is stopping"));
}

// All that has been asked for meanwhile is done together, with one look.
void LocalLibrary::run() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    if (tasks_.empty()) {
      added_.wait(lock);
      continue;
    }
    std::vector<Task> tasks = std::exchange(tasks_, {});
    const bool first = !looked_;
    lock.unlock();
    const auto began = Steady::now();
    if (first) {
      guarded([this] { return look(); });  // so that work finds what is there
    }
    std::vector<Status> outcomes;
    for (const Task& task : tasks) {
      outcomes.push_back(task.work ? guarded(task.work) : Status());
      if (task.work) {
        guarded([this] { return look(); });
      }
    }
    const bool works = std::ranges::any_of(tasks, [](const Task& task) { return static_cast<bool>(task.work); });
    if (!first && !works) {
      guarded([this] { return look(); });
    }
    lock.lock();
    looked_ = true;
    rests_until_ = Steady::now() + (Steady::now() - began) * options_.rest;
    lock.unlock();
    for (size_t i = 0; i < tasks.size(); ++i) {
      tasks[i].done(outcomes[i]);
    }
    lock.lock();
  }
  std::vector<Task> left = std::exchange(tasks_, {});
  lock.unlock();
  for (const Task& task : left) {
    task.done(fail(ErrorCode::kCancelled, "the server is stopping"));
  }
}

// What is thrown for lack of memory or by the file system must not end the server.
Status LocalLibrary::guarded(const std::function<Status()>& work) const {
  try {
    return work();
  } catch (const std::exception& error) {
    logger().error("msg=catalogue-failed reason=\"{}\"", error.what());
    return fail(ErrorCode::kInternal, "the catalogue of models cannot be read: {}", error.what());
  }
}

Status LocalLibrary::look() {
  catalogue_ = options_.read(options_.places);
  host_.offer(offered_of(catalogue_));
  return {};
}

const CatalogueEntry* LocalLibrary::entry_of(const std::string& served) const {
  const auto found = std::ranges::find_if(catalogue_.entries, [&](const CatalogueEntry& entry) {
    return entry.usable() && equal_ignoring_case(offered_of(entry).name, served);
  });
  return found == catalogue_.entries.end() ? nullptr : &*found;
}

Result<std::filesystem::path> LocalLibrary::data() const {
  if (!options_.places.data) {
    return fail(ErrorCode::kIo, "no folder for data: neither XDG_DATA_HOME nor HOME is an absolute path");
  }
  return *options_.places.data;
}

Status LocalLibrary::remove_now(const std::string& name) const {
  const auto folder = data();
  const CatalogueEntry* entry = entry_of(name);
  if (!folder) {
    return propagate(folder.error());
  }
  if (entry == nullptr) {
    return fail(ErrorCode::kUsage, "{} is a model that this server was started with; it is not removed", name);
  }
  return remove_model(catalogue_, *folder, entry->name).map([](const RemovedModel&) {});
}

Status LocalLibrary::create_now(const NewModel& model) const {
  const auto folder = data();
  const auto name = created_name(model.name);
  const ModelPtr from = host_.find(model.from);
  if (!folder || !name) {
    return propagate(folder ? name.error() : folder.error());
  }
  if (from == nullptr) {
    return fail(ErrorCode::kUsage, "model '{}' not found", model.from);
  }
  const CatalogueEntry* taken = entry_of(*name);
  const ModelPtr known = host_.find(*name);
  const bool is_created = taken != nullptr && taken->origin == ModelOrigin::kCreated;
  if (!is_created && known != nullptr && equal_ignoring_case(known->name, *name)) {
    return fail(ErrorCode::kUsage, "{} is the name of another model ({}); choose another one", *name,
                taken == nullptr ? "that this server was started with" : origin_words(taken->origin));
  }
  if (!is_created &&
      std::ranges::count(catalogue_.entries, ModelOrigin::kCreated, &CatalogueEntry::origin) >= kMostCreated) {
    return fail(ErrorCode::kUsage, "there are {} created models, the most that may be; remove one", kMostCreated);
  }
  NewModel wanted = model;
  std::string& chat_template = wanted.preset.chat_template;
  if (chat_template == from->card.chat_template) {
    chat_template.clear();  // it has it anyway
  }
  if (const auto card =
          chat_template.empty() ? Result<ModelCard>(from->card) : card_with_template(from->card, chat_template);
      !card) {
    return fail(ErrorCode::kUsage, "TEMPLATE cannot be used: {}", card.error().message);
  }
  CreatedModel created;
  created.name = *name;
  std::error_code unknown;
  created.file = std::filesystem::absolute(from->file, unknown);
  created.preset = overlaid(from->preset, wanted.preset);
  created.license = model.license.empty() ? from->license : model.license;
  const CatalogueEntry* base = entry_of(from->name);
  // One that no place has is known by its file.
  created.from = base == nullptr                         ? created.file.string()
                 : base->origin == ModelOrigin::kCreated ? base->from
                                                         : base->name;
  return save_created(*folder, created);
}

}  // namespace

OfferedModel offered_of(const CatalogueEntry& entry) {
  OfferedModel model;
  const size_t slash = entry.name.rfind('/');
  const bool tagged = entry.name.find(':', slash == std::string::npos ? 0 : slash) != std::string::npos;
  model.name = entry.name + (tagged ? "" : ":latest");
  model.file = entry.files.front();
  model.preset = entry.preset;
  model.license = entry.license;
  model.from = entry.from;
  return model;
}

std::vector<OfferedModel> offered_of(const Catalogue& catalogue) {
  std::vector<OfferedModel> models;
  for (const CatalogueEntry& entry : catalogue.entries) {
    if (entry.usable()) {
      models.push_back(offered_of(entry));
    }
  }
  return models;
}

std::unique_ptr<ModelLibrary> make_local_library(LibraryOptions options, ModelHost& host) {
  return std::make_unique<LocalLibrary>(std::move(options), host);
}

}  // namespace hypura
