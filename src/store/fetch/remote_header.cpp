#include "store/fetch/remote_header.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <system_error>
#include <utility>

#include "model/header_scan.h"
#include "store/fetch/blob_place.h"
#include "support/fail.h"
#include "support/units.h"

namespace hypura {

namespace {

// Later parts of a model have some KiB, first ones with a vocabulary 6 to 20 MiB: each request doubles what is there.
constexpr uint64_t kFirstRequest = 512 * kKiB;

class HeaderFolder {
 public:
  static Result<HeaderFolder> make() {
    std::error_code error;
    std::string name = (std::filesystem::temp_directory_path(error) / "hypura-headers-XXXXXX").string();
    if (error || ::mkdtemp(name.data()) == nullptr) {
      return fail(ErrorCode::kIo, "{}: cannot be made: {}", name, std::generic_category().message(errno));
    }
    return HeaderFolder(std::move(name));
  }
  HeaderFolder(HeaderFolder&& other) noexcept : path_(std::exchange(other.path_, {})) {}
  HeaderFolder& operator=(HeaderFolder&&) = delete;
  ~HeaderFolder() {
    std::error_code ignored;
    if (!path_.empty()) {
      std::filesystem::remove_all(path_, ignored);
    }
  }
  const std::filesystem::path& path() const { return path_; }

 private:
  explicit HeaderFolder(std::filesystem::path path) : path_(std::move(path)) {}
  std::filesystem::path path_;
};

// A file of the right length, of which the beginning is fetched.
class HeaderFile {
 public:
  HeaderFile(const RemoteAccess& access, const RemoteFile& file, std::filesystem::path path)
      : access_(access),
        file_(file),
        path_(std::move(path)),
        fd_(::open(path_.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600)) {}
  HeaderFile(const HeaderFile&) = delete;
  HeaderFile& operator=(const HeaderFile&) = delete;
  ~HeaderFile() {
    if (fd_ >= 0) {
      ::close(fd_);
    }
  }

  Status fetch();
  uint64_t fetched() const { return fetched_; }

 private:
  Status fetch_to(uint64_t end);
  Status failed() const {
    return fail(ErrorCode::kIo, "{}: cannot be written: {}", path_.string(), std::generic_category().message(errno));
  }

  const RemoteAccess& access_;
  const RemoteFile& file_;
  std::filesystem::path path_;
  int fd_;
  BlobPlace place_;
  uint64_t fetched_ = 0;
};

Status HeaderFile::fetch() {
  auto place = locate_blob(access_.client, file_.url, file_.token, access_.retries, access_.keep_going);
  if (!place) {
    return propagate(place.error());
  }
  place_ = std::move(*place);
  if (!place_.ranges) {
    return fail(ErrorCode::kIo, "{}: its server gives only whole files, so it cannot be looked at before it is fetched",
                file_.url);
  }
  if (place_.size != file_.size) {
    return fail(ErrorCode::kIo, "{}: the server has {} bytes, but its listing says {}; try again later", file_.url,
                place_.size, file_.size);
  }
  if (fd_ < 0 || ::ftruncate(fd_, static_cast<off_t>(file_.size)) != 0) {
    return failed();
  }
  return scan_header(path_, [this](uint64_t end) { return fetch_to(end); }).map([](const Header&) {});
}

Status HeaderFile::fetch_to(uint64_t end) {
  if (end <= fetched_) {
    return {};
  }
  const uint64_t most = std::min({file_.size, kMaxHeaderBytes, std::max({end, 2 * fetched_, kFirstRequest})});
  const ByteRange range{fetched_, std::max(end, most)};
  const WebRequest request{place_.url, place_.token, same_version(place_.etag), range};
  const auto page = get_patiently(access_.client, request, range.size(), access_.retries, access_.keep_going);
  if (!page) {
    return propagate(page.error());
  }
  const auto came = read_content_range(page->head.header("content-range"));
  if (page->head.status != 206 || !came || came->range != range || page->body.size() != range.size()) {
    return fail(ErrorCode::kIo, "{}: the server did not give the bytes that were asked for; try again", file_.url);
  }
  if (::pwrite(fd_, page->body.data(), page->body.size(), static_cast<off_t>(fetched_)) !=
      static_cast<ssize_t>(page->body.size())) {
    return failed();
  }
  fetched_ = range.end;
  return {};
}

}  // namespace

Result<RemoteHeader> read_remote_header(const RemoteAccess& access, const RemoteModel& model) {
  const auto folder = HeaderFolder::make();
  if (!folder) {
    return propagate(folder.error());
  }
  RemoteHeader header;
  std::vector<std::filesystem::path> paths;
  for (const RemoteFile& part : model.parts) {
    // The names of a set's parts say how they belong together.
    const std::filesystem::path path = folder->path() / std::filesystem::path(part.name).filename();
    HeaderFile file(access, part, path);
    if (Status status = file.fetch(); !status) {
      return propagate(status.error());
    }
    header.fetched += file.fetched();
    paths.push_back(path);
  }
  auto read = open_model(paths.front());
  if (!read) {
    return propagate(read.error());
  }
  header.model = std::move(*read);
  for (ModelFile& file : header.model.files) {
    const auto at = std::find(paths.begin(), paths.end(), file.path);
    if (at != paths.end()) {
      file.path = model.parts[static_cast<size_t>(at - paths.begin())].path;
    }
  }
  return header;
}

}  // namespace hypura
