#include <dlfcn.h>
#include <elf.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <optional>

#include "backend/gpu/devices/cuda_code.h"

namespace hypura {

namespace {

// --- the code in a library ---

// One fat binary in the section ".nv_fatbin", which holds many: NVIDIA's fatbinary_section.h.
struct FatBinaryHeader {
  uint32_t magic = 0;
  uint16_t version = 0;
  uint16_t header_bytes = 0;
  uint64_t bytes = 0;  // behind the header
};
constexpr uint32_t kFatBinaryMagic = 0xBA55ED50;
constexpr uint64_t kAlignment = 8;

// Any more would be no section of code: llama.cpp's has 128 MB in 143 of them.
constexpr uint64_t kMostBytes = uint64_t{1} << 32;

class LibraryFile {
 public:
  explicit LibraryFile(const std::filesystem::path& path) : file_(path, std::ios::binary) {}

  template <class T>
  std::optional<T> read(uint64_t offset) {
    T value{};
    return read(offset, &value, sizeof(value)) ? std::optional(value) : std::nullopt;
  }
  bool read(uint64_t offset, void* to, uint64_t bytes) {
    file_.clear();
    file_.seekg(static_cast<std::streamoff>(offset));
    file_.read(static_cast<char*>(to), static_cast<std::streamsize>(bytes));
    return file_.gcount() == static_cast<std::streamsize>(bytes);
  }

 private:
  std::ifstream file_;
};

std::optional<Elf64_Shdr> section(LibraryFile& file, const char* name) {
  const auto header = file.read<Elf64_Ehdr>(0);
  if (!header || std::memcmp(header->e_ident, ELFMAG, SELFMAG) != 0 || header->e_ident[EI_CLASS] != ELFCLASS64 ||
      header->e_shentsize != sizeof(Elf64_Shdr)) {
    return std::nullopt;
  }
  const auto number = [&](uint32_t i) { return file.read<Elf64_Shdr>(header->e_shoff + i * sizeof(Elf64_Shdr)); };
  const auto names = number(header->e_shstrndx);
  std::string its_name(std::strlen(name) + 1, ' ');
  for (uint32_t i = 0; names && i < header->e_shnum; ++i) {
    const auto found = number(i);
    if (found && file.read(names->sh_offset + found->sh_name, its_name.data(), its_name.size()) &&
        std::strcmp(its_name.c_str(), name) == 0) {
      return found;
    }
  }
  return std::nullopt;
}

// --- the driver ---

class SystemsDriver final : public CudaDriver {
 public:
  static std::unique_ptr<CudaDriver> find() {
    std::unique_ptr<SystemsDriver> driver(new SystemsDriver);
    return driver->open() ? std::move(driver) : nullptr;
  }

  int devices() const override {
    int count = 0;
    return count_(&count) == 0 ? count : 0;
  }

  std::string version() const override {
    int version = 0;  // 13000 is 13.0
    return version_(&version) == 0 ? fmt::format("{}.{}", version / 1000, version % 1000 / 10) : "an unknown version";
  }

  std::string capability(int device) const override {
    constexpr int kMajor = 75;  // CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR
    constexpr int kMinor = 76;
    int handle = 0;
    int major = 0;
    int minor = 0;
    const bool known = device_(&handle, device) == 0 && attribute_(&major, kMajor, handle) == 0 &&
                       attribute_(&minor, kMinor, handle) == 0;
    return known ? fmt::format("{}.{}", major, minor) : "an unknown one";
  }

  // In the device's primary context, which ggml uses too, and makes when it asks for free memory: so it is not
  // released.
  int load(int device, std::span<const std::byte> code) const override {
    int handle = 0;
    void* context = nullptr;
    int error = device_(&handle, device);
    error = error == 0 ? retain_(&context, handle) : error;
    error = error == 0 ? push_(context) : error;
    if (error != 0) {
      return error;
    }
    void* module = nullptr;
    error = load_(&module, code.data());
    if (error == 0) {
      unload_(module);
    }
    pop_(&context);
    return error;
  }

  std::string error_name(int error) const override {
    const char* name = nullptr;
    return name_(error, &name) == 0 && name != nullptr ? name : fmt::format("error {}", error);
  }

 private:
  bool open() {
    void* library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_NOLOAD);
    const auto find = [library](auto& function, const char* name) {
      function =
          library == nullptr ? nullptr : reinterpret_cast<std::decay_t<decltype(function)>>(dlsym(library, name));
      return function != nullptr;
    };
    int (*init)(unsigned) = nullptr;
    return find(init, "cuInit") && find(count_, "cuDeviceGetCount") && find(version_, "cuDriverGetVersion") &&
           find(device_, "cuDeviceGet") && find(attribute_, "cuDeviceGetAttribute") &&
           find(retain_, "cuDevicePrimaryCtxRetain") && find(push_, "cuCtxPushCurrent_v2") &&
           find(pop_, "cuCtxPopCurrent_v2") && find(load_, "cuModuleLoadData") && find(unload_, "cuModuleUnload") &&
           find(name_, "cuGetErrorName") && init(0) == 0;
  }

  int (*count_)(int*) = nullptr;
  int (*version_)(int*) = nullptr;
  int (*device_)(int*, int) = nullptr;
  int (*attribute_)(int*, int, int) = nullptr;
  int (*retain_)(void**, int) = nullptr;
  int (*push_)(void*) = nullptr;
  int (*pop_)(void**) = nullptr;
  int (*load_)(void**, const void*) = nullptr;
  int (*unload_)(void*) = nullptr;
  int (*name_)(int, const char**) = nullptr;
};

}  // namespace

std::unique_ptr<CudaDriver> cuda_driver() {
  return SystemsDriver::find();
}

std::vector<std::byte> smallest_cuda_code(const std::filesystem::path& library) {
  LibraryFile file(library);
  const auto code = section(file, ".nv_fatbin");
  if (!code || code->sh_size > kMostBytes) {
    return {};
  }
  uint64_t smallest = 0;
  uint64_t bytes = 0;
  for (uint64_t at = 0; code->sh_size - at > sizeof(FatBinaryHeader);) {
    const uint64_t left = code->sh_size - at;
    const auto header = file.read<FatBinaryHeader>(code->sh_offset + at);
    if (!header) {
      return {};
    }
    const bool good = header->magic == kFatBinaryMagic && header->header_bytes >= sizeof(FatBinaryHeader) &&
                      header->header_bytes <= left && header->bytes <= left - header->header_bytes;
    const uint64_t its_bytes = good ? header->header_bytes + header->bytes : kAlignment;
    if (good && (bytes == 0 || its_bytes < bytes)) {
      smallest = at;
      bytes = its_bytes;
    }
    at += std::min(left, (its_bytes + kAlignment - 1) / kAlignment * kAlignment);
  }
  std::vector<std::byte> found(bytes);
  return file.read(code->sh_offset + smallest, found.data(), bytes) ? found : std::vector<std::byte>();
}

}  // namespace hypura
