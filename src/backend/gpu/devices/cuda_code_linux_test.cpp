#include <elf.h>
#include <gtest/gtest.h>

#include <cstring>
#include <fstream>
#include <random>

#include "backend/gpu/devices/cuda_code.h"
#include "support/temp_dir_for_test.h"

namespace hypura {
namespace {

// A fat binary of so many bytes behind its header, all `filling`.
std::string fat_binary(size_t bytes, char filling) {
  const uint32_t magic = 0xBA55ED50;
  const uint16_t version = 1;
  const uint16_t header = 16;
  const uint64_t behind = bytes;
  std::string text(16, '\0');
  std::memcpy(text.data(), &magic, 4);
  std::memcpy(text.data() + 4, &version, 2);
  std::memcpy(text.data() + 6, &header, 2);
  std::memcpy(text.data() + 8, &behind, 8);
  return text + std::string(bytes, filling);
}

// A library with nothing but such a section.
std::string library_with(const std::string& code, const std::string& name = ".nv_fatbin") {
  const std::string names = '\0' + name + '\0' + ".shstrtab" + '\0';
  Elf64_Ehdr header{};
  std::memcpy(header.e_ident, ELFMAG, SELFMAG);
  header.e_ident[EI_CLASS] = ELFCLASS64;
  header.e_shentsize = sizeof(Elf64_Shdr);
  header.e_shoff = sizeof(header);
  header.e_shnum = 3;
  header.e_shstrndx = 2;
  Elf64_Shdr sections[3] = {};
  sections[1].sh_name = 1;
  sections[1].sh_offset = sizeof(header) + sizeof(sections);
  sections[1].sh_size = code.size();
  sections[2].sh_name = static_cast<uint32_t>(name.size()) + 2;
  sections[2].sh_offset = sections[1].sh_offset + code.size();
  sections[2].sh_size = names.size();
  std::string text(sizeof(header) + sizeof(sections), '\0');
  std::memcpy(text.data(), &header, sizeof(header));
  std::memcpy(text.data() + sizeof(header), sections, sizeof(sections));
  return text + code + names;
}

std::string code_of(const std::string& library) {
  const TempDir folder;
  const std::filesystem::path path = folder.path() / "libggml-cuda.so";
  std::ofstream(path, std::ios::binary) << library;
  const std::vector<std::byte> code = smallest_cuda_code(path);
  return {reinterpret_cast<const char*>(code.data()), code.size()};
}

TEST(CudaCodeOfALibrary, IsItsSmallestFatBinary) {
  // Each begins at a multiple of 8.
  const std::string code = fat_binary(40, 'a') + fat_binary(21, 'b') + std::string(3, '\0') + std::string(8, '\0') +
                           fat_binary(24, 'c') + std::string(8, '\0');
  EXPECT_EQ(code_of(library_with(code)), fat_binary(21, 'b'));
}

TEST(CudaCodeOfALibrary, IsNoneWithoutOne) {
  EXPECT_EQ(code_of(""), "");
  EXPECT_EQ(code_of("this is no library"), "");
  EXPECT_EQ(code_of(library_with("")), "");
  EXPECT_EQ(code_of(library_with(std::string(64, 'x'))), "");
  EXPECT_EQ(code_of(library_with(fat_binary(8, 'a'), ".text")), "");
  EXPECT_TRUE(smallest_cuda_code("/no/such/library.so").empty());
  EXPECT_TRUE(smallest_cuda_code("/").empty());
}

TEST(CudaCodeOfALibrary, WhatSaysMoreThanThereIsIsPassedOver) {
  std::string longer = fat_binary(64, 'a');
  const uint64_t too_many = uint64_t{1} << 60;
  std::memcpy(longer.data() + 8, &too_many, 8);
  EXPECT_EQ(code_of(library_with(longer + fat_binary(32, 'b'))), fat_binary(32, 'b'));
}

TEST(CudaCodeOfALibrary, DamagedFilesEnd) {
  const std::string whole = library_with(fat_binary(40, 'a') + fat_binary(24, 'b'));
  std::mt19937 random(3);
  for (size_t i = 0; i < whole.size(); ++i) {
    code_of(whole.substr(0, i));
    std::string damaged = whole;
    for (int k = 0; k < 3; ++k) {
      damaged[random() % damaged.size()] = static_cast<char>(random());
    }
    code_of(damaged);
  }
}

}  // namespace
}  // namespace hypura
