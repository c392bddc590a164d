#include "cli/profile/profile_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "support/units.h"

namespace hypura {

namespace {

constexpr int kLabel = 12;

std::string line(std::string_view label, std::string_view text) {
  return text.empty() ? "" : fmt::format("{:<{}}{}\n", label, kLabel, text);
}

template <class Items, class Format>
std::string join(const Items& items, std::string_view separator, Format format) {
  std::string text;
  for (const auto& item : items) {
    text += (text.empty() ? "" : std::string(separator)) + format(item);
  }
  return text;
}

std::string plural(uint64_t count, std::string_view word) {
  return fmt::format("{} {}{}", count, word, count == 1 ? "" : "s");
}

// "64 KiB": sizes of blocks are whole.
std::string block_size(uint64_t bytes) {
  return bytes >= kMiB ? fmt::format("{} MiB", bytes / kMiB) : fmt::format("{} KiB", bytes / kKiB);
}

std::string memory_text(const MachineProfile& profile) {
  std::string text =
      fmt::format("{}, {} available", format_bytes(profile.memory_total), format_bytes(profile.memory_available));
  if (profile.cgroup_limit) {
    text += fmt::format("; a cgroup limits this process to {}, of which {} are left",
                        format_bytes(*profile.cgroup_limit), format_bytes(profile.memory_allowed));
  }
  return text;
}

std::string machine_section(const MachineProfile& profile) {
  std::string text = line("Processor", fmt::format("{}, {}", profile.cpu_model, plural(profile.cores, "usable core")));
  text += line("SIMD", join(profile.simd, " ", [](const std::string& name) { return name; }));
  text += line("Caches", join(profile.caches, ", ", [](const auto& cache) {
                 return fmt::format("{} {}", cache.first, format_bytes(cache.second));
               }));
  text += line("Memory", memory_text(profile));
  text += line("Huge pages", profile.huge_pages);
  return text;
}

std::string ram_section(const MachineProfile& profile) {
  std::string text = "\nReading RAM\n";
  for (size_t i = 0; i < profile.ram_bytes_per_second.size(); ++i) {
    text += fmt::format("  {:<12}{:>12}\n", plural(i + 1, "thread"), format_rate(profile.ram_bytes_per_second[i]));
  }
  return text;
}

std::string attention_sentence(double attention_per_second) {
  const double seconds = 4096 * 1000 / attention_per_second;
  return fmt::format("  Attention takes {:.{}f} ms for each thousand tokens of context in a layer 4096 wide.\n",
                     seconds * 1e3, seconds < 1e-4 ? 3 : 1);
}

// Of all types that have such a layout.
std::string repacking_sentence(const MachineProfile& profile) {
  std::string rates;
  for (const KernelSpeed& kernel : profile.kernels) {
    if (kernel.repack_bytes_per_second > 0) {
      rates +=
          fmt::format("{}{} {}", rates.empty() ? "" : ", ", kernel.type, format_rate(kernel.repack_bytes_per_second));
    }
  }
  return rates.empty() ? "" : fmt::format("  Repacking: {}.\n", rates);
}

std::string kernel_section(const MachineProfile& profile) {
  const auto line = [](const std::string& name, double bytes, double flops, double expert) {
    const std::string of_expert = expert > 0 ? fmt::format("{:>16.0f} GFLOP/s", expert / 1e9) : "";
    return fmt::format("  {:<16}{:>14}{:>10.0f} GFLOP/s{}\n", name, format_rate(bytes), flops / 1e9, of_expert);
  };
  std::string text = fmt::format("\nComputing with {}\n  {:<16}{:>14}{:>18}{:>24}\n", plural(profile.threads, "thread"),
                                 "weights", "1 token", "512 tokens", "an expert's 32 tokens");
  for (const KernelSpeed& kernel : profile.kernels) {
    text += line(kernel.type, kernel.matvec_bytes_per_second, kernel.matmul_flops, kernel.expert_matmul_flops);
    if (kernel.repacked_matmul_flops > 0) {
      text += line("  repacked", kernel.repacked_matvec_bytes_per_second, kernel.repacked_matmul_flops,
                   kernel.repacked_expert_matmul_flops);
    }
    if (kernel.resident_matmul_flops > 0) {
      text += line("  in memory", kernel.resident_matvec_bytes_per_second, kernel.resident_matmul_flops, 0);
    }
  }
  text += repacking_sentence(profile);
  if (profile.attention_per_second > 0) {
    text += attention_sentence(profile.attention_per_second);
  }
  return text + fmt::format("  A small operation costs {:.1f} us.\n", profile.operation_seconds * 1e6);
}

std::string format_flops(double flops) {
  return flops < 10e12 ? fmt::format("{:.0f} GFLOP/s", flops / 1e9) : fmt::format("{:.0f} TFLOP/s", flops / 1e12);
}

std::string product_line(const std::string& name, const GpuProductSpeed& speed) {
  if (speed.seconds <= 0) {
    return fmt::format("  {:<16}{:>14}\n", name, "no kernel");
  }
  return fmt::format("  {:<16}{:>14}{:>18}{:>18}{:>18}\n", name, format_rate(speed.matvec_bytes_per_second),
                     format_flops(speed.matmul_flops), format_flops(speed.large_matmul_flops),
                     fmt::format("{:.1f} us", speed.seconds * 1e6));
}

std::string copies_text(const GpuProfile& gpu) {
  std::string text = fmt::format("  {:<16}{:>14}{:>14}\n", gpu.pinned ? "pinned copies" : "copies", "to it", "from it");
  for (const CopyPoint& copy : gpu.copies) {
    text += fmt::format("  {:>10}      {:>14}{:>14}\n", block_size(copy.bytes),
                        format_rate(copy.upload_bytes_per_second), format_rate(copy.download_bytes_per_second));
  }
  if (gpu.unpinned_upload_bytes_per_second <= 0) {
    return text + "  From memory that is not pinned copies were not measured.\n";
  }
  return text + fmt::format("  From memory that is not pinned {} get there{}.\n",
                            format_rate(gpu.unpinned_upload_bytes_per_second),
                            gpu.registers_memory ? "; it can be registered" : "");
}

std::string gpu_section(const GpuProfile& gpu) {
  std::string text = fmt::format("\n{}: {}\n", gpu.name, gpu.description) + copies_text(gpu);
  text +=
      fmt::format("  {:<16}{:>14}{:>18}{:>18}{:>18}\n", "weights", "1 token", "512 tokens", "2048 tokens", "at least");
  for (const GpuKernelSpeed& kernel : gpu.kernels) {
    text += product_line(kernel.type, kernel.matrix) + product_line("  experts", kernel.experts);
  }
  if (gpu.attention_per_second > 0) {
    text += attention_sentence(gpu.attention_per_second);
  }
  const auto cost = [](double seconds) {
    return seconds > 0 ? fmt::format("costs {:.1f} us", seconds * 1e6) : std::string("was not measured");
  };
  return text + fmt::format("  A small operation {}, cutting a graph {}.\n", cost(gpu.operation_seconds),
                            cost(gpu.cut_seconds));
}

// Rows are blocks, columns are how many are under way.
std::string read_table(const StorageProfile& storage, bool scattered) {
  std::set<uint64_t> blocks;
  std::set<uint32_t> depths;
  for (const StoragePoint& point : storage.points) {
    depths.insert(point.depth);  // the same columns for both tables
    if (point.scattered == scattered) {
      blocks.insert(point.block_bytes);
    }
  }
  if (blocks.empty()) {
    return "";
  }
  std::string text = fmt::format("  {:<12}", scattered ? "scattered" : "in sequence");
  for (const uint32_t depth : depths) {
    text += fmt::format("{:>7}", depth);
  }
  text += scattered ? "  under way\n" : "\n";
  for (const uint64_t block : blocks) {
    text += fmt::format("  {:>10}  ", block_size(block));
    for (const uint32_t depth : depths) {
      const auto point = std::find_if(storage.points.begin(), storage.points.end(), [&](const StoragePoint& p) {
        return p.block_bytes == block && p.depth == depth && p.scattered == scattered;
      });
      text += point == storage.points.end() ? fmt::format("{:>7}", "")
                                            : fmt::format("{:>7.2f}", point->bytes_per_second / 1e9);
    }
    text.resize(text.find_last_not_of(' ') + 1);
    text += "\n";
  }
  return text;
}

std::string knee_sentence(const StorageProfile& storage) {
  const StoragePoint& knee = storage.knee;
  return fmt::format(
      "  The knee: {} of {} under way read {} of at most {};\n  larger or deeper reads gain less than 5 %.\n",
      plural(knee.depth, "block"), block_size(knee.block_bytes), format_rate(knee.bytes_per_second),
      format_rate(storage.scattered_bytes_per_second));
}

std::string sustained_sentence(const StorageProfile& storage) {
  return storage.sustained_bytes_per_second > 0 ? fmt::format("  A long run sustained {}; plans count on that.\n",
                                                              format_rate(storage.sustained_bytes_per_second))
                                                : "";
}

std::string contention_sentence(const StorageProfile& storage) {
  return storage.computing_kept > 0
             ? fmt::format("  At once: computing keeps {:.0f} % of its speed, the disk {:.0f} %.\n",
                           storage.computing_kept * 100, storage.reading_kept * 100)
             : "";
}

// What the disk means for a model, from the figures above alone.
std::string meaning(const MachineProfile& profile) {
  const StorageProfile& storage = profile.storage;
  const double disk = storage.sustained_bytes_per_second > 0
                          ? std::min(storage.scattered_bytes_per_second, storage.sustained_bytes_per_second)
                          : storage.scattered_bytes_per_second;
  std::string text = fmt::format("  What it means: a token that needs 1 GiB from this disk waits {:.2f} s for it",
                                 static_cast<double>(kGiB) / disk);
  const KernelSpeed* kernel = profile.kernel("q4_0");
  if (kernel == nullptr || kernel->matvec_bytes_per_second <= 0) {
    return text + ".\n";
  }
  text += fmt::format(";\n  computing with 1 GiB of q4_0 weights takes {:.2f} s. ",
                      static_cast<double>(kGiB) / kernel->matvec_bytes_per_second);
  const double share = disk / kernel->matvec_bytes_per_second;
  if (share >= 1) {
    return text + "The disk keeps up: streaming costs next to nothing.\n";
  }
  return text +
         fmt::format("Where more than {:.0f} % of what a token\n  needs comes from disk, the disk is the bottleneck.\n",
                     share * 100);
}

std::string storage_section(const MachineProfile& profile) {
  const StorageProfile& storage = profile.storage;
  std::string text = fmt::format("\nDisk under {}\n  {}\n", storage.path, storage.file_system);
  if (storage.points.empty()) {
    return text + "  not measured\n";
  }
  text += fmt::format("  GB/s, read by {}\n\n", storage.method);
  text += read_table(storage, true) + read_table(storage, false) + "\n";
  return text + knee_sentence(storage) + contention_sentence(storage) + sustained_sentence(storage) + meaning(profile);
}

// What two measurements differ by.
std::string lasting_sentence(const MachineProfile& profile) {
  if (profile.first_measured_at.empty()) {
    return "";
  }
  const double computing = profile.lasting_share * 100;
  const double reading = profile.storage.lasting_share * 100;
  const std::string share =
      computing == 100 && reading == 100
          ? "both differ by noise alone"
          : fmt::format("of them computing keeps {:.0f} %, the disk {:.0f} %; plans count on that", computing, reading);
  return fmt::format("\nThe better speeds of two measurements, the first of them {}: {}.\n", profile.first_measured_at,
                     share);
}

// What speaks against the figures.
std::string doubt_sentence(const MachineProfile& profile) {
  if (profile.disturbed()) {
    return fmt::format(
        "\nOther programs had {:.0f} % of the processors meanwhile, so that the speeds of computing are too low. Run\n"
        "`hypura profile` when they rest: it measures again.\n",
        (1 - profile.processor_share) * 100);
  }
  if (profile.contradicted_by > 0) {
    return fmt::format(
        "\nTokens of the latest run took {:.2f} times as long as these speeds say. `hypura profile` measures "
        "again.\n",
        profile.contradicted_by);
  }
  return "";
}

}  // namespace

std::string format_rate(double bytes_per_second) {
  if (bytes_per_second >= 0.9995e9) {
    const double value = bytes_per_second / 1e9;
    return fmt::format("{:.{}f} GB/s", value, value < 9.995 ? 2 : 1);
  }
  return fmt::format("{:.{}f} MB/s", bytes_per_second / 1e6, bytes_per_second < 9.95e6 ? 1 : 0);
}

std::string profile_text(const MachineProfile& profile) {
  std::string text = machine_section(profile);
  if (!profile.ram_bytes_per_second.empty()) {
    text += ram_section(profile);
  }
  if (!profile.kernels.empty()) {
    text += kernel_section(profile);
  }
  for (const GpuProfile& gpu : profile.gpus) {
    text += gpu_section(gpu);
  }
  text += storage_section(profile);
  text += lasting_sentence(profile);
  text += doubt_sentence(profile);
  return text + fmt::format("\nMeasured {}. `hypura profile --force` measures again.\n", profile.measured_at);
}

}  // namespace hypura
