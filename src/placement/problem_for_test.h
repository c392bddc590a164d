// For tests: problems of the sizes that Hypura is measured with, and random ones.
#pragma once

#include <cmath>
#include <random>

#include "placement/popularity.h"
#include "placement/problem.h"
#include "support/units.h"

namespace hypura {

// 24 layers of 64 experts, top-8: 6 GiB of experts, 250 MiB of dense weights. Two cores, a disk of 2.5 GB/s.
inline PlacementProblem moe_problem(uint64_t budget) {
  PlacementProblem problem;
  problem.budget = budget;
  problem.fixed = 60 * kMiB;
  problem.other = 30 * kMiB;
  problem.kv = {{KvType::kF16, 100 * kMiB, 0}};
  for (uint32_t tokens : {512U, 256U, 128U, 64U, 32U}) {
    problem.ubatch.push_back({tokens, 20 * kMiB + tokens * 100 * kKiB, tokens * 50 * kKiB});
  }
  for (int i = 0; i < 24; ++i) {
    problem.dense.push_back({10 * kMiB, 10 * kMiB + 8 * kKiB, {0.0005, 0.0003}});
  }
  ExpertGroup group{24, 64, 8, 4 * kMiB - 24 * kKiB, {0.0002, 0.0001}, prior_popularity(64, 8), {}};
  problem.expert_bytes = 24 * 64 * group.bytes;
  problem.experts = {group};
  problem.layer_groups.assign(group.layers, 0);
  problem.slot_stride = 4 * kMiB;
  problem.expert_disk = {2.5e9, 0.0001};
  problem.dense_disk = {2.5e9, 0.0001};
  problem.dense_ahead = 16 * kMiB;
  problem.rest = {0.004, 0.001};
  problem.resident = {0.045, 0.02};
  problem.block_seconds = 0.00008;
  problem.modes = {Mode::kResident, Mode::kExpertStreaming, Mode::kMixedStreaming};
  return problem;
}

// 52 layers, 6 GiB, computed in 0.22 s a token.
inline PlacementProblem dense_problem(uint64_t budget) {
  PlacementProblem problem = moe_problem(budget);
  problem.experts.clear();
  problem.layer_groups.clear();
  problem.expert_bytes = problem.slot_stride = 0;
  problem.dense.clear();
  for (int i = 0; i < 52 * 7; ++i) {
    problem.dense.push_back({17 * kMiB, 17 * kMiB + 8 * kKiB, {0.0006, 0.00008}});
  }
  problem.resident = {0.2, 0.03};
  problem.modes = {Mode::kResident, Mode::kDenseStreaming};
  return problem;
}

// Any machine and any model, of up to two kinds of MoE layers.
inline PlacementProblem random_problem(std::mt19937_64& random) {
  const auto between = [&](double low, double high) {
    return std::exp(std::uniform_real_distribution<double>(std::log(low), std::log(high))(random));
  };
  const auto count = [&](double low, double high) { return static_cast<uint32_t>(between(low, high)); };
  const auto bytes = [&](double low, double high) { return static_cast<uint64_t>(between(low, high)); };
  PlacementProblem problem = moe_problem(0);
  problem.fixed = bytes(1e6, 1e9);
  problem.other = bytes(1e5, 1e8);
  problem.kv = {{KvType::kF16, bytes(1e6, 1e9), 0}};
  if (random() % 2 == 0) {
    problem.kv.push_back({KvType::kQ8_0, problem.kv.front().bytes / 2, 0.02});
  }
  const uint64_t row = bytes(1e4, 1e6);
  for (UbatchChoice& choice : problem.ubatch) {
    choice.bytes = choice.tokens * row;
    choice.expert_bytes = choice.tokens * row / 3;
  }
  problem.dense.clear();
  const uint32_t weights = count(2, 300);
  for (uint32_t i = 0; i < weights; ++i) {
    const uint64_t size = bytes(1e5, 5e7);
    const double seconds = static_cast<double>(size) / 2e10;
    problem.dense.push_back({size, round_up(size, 4096) + 4096, {seconds, seconds / 4}});
  }
  problem.experts.clear();
  problem.layer_groups.clear();
  problem.expert_bytes = problem.slot_stride = 0;
  const uint32_t groups = random() % 3 == 0 ? 0 : 1 + static_cast<uint32_t>(random() % 2);
  for (uint32_t i = 0; i < groups; ++i) {
    ExpertGroup group;
    group.layers = count(1, 40);
    group.experts = count(2, 200);
    group.used = 1 + static_cast<uint32_t>(random() % std::min(group.experts, 10U));
    group.bytes = bytes(1e5, 2e7);
    group.seconds = {static_cast<double>(group.bytes) / 2e10, static_cast<double>(group.bytes) / 6e10};
    std::vector<double> hits(group.experts + 1);
    const double exponent = between(0.3, 1.0);
    for (uint32_t q = 1; q <= group.experts; ++q) {
      hits[q] = std::pow(static_cast<double>(q) / group.experts, exponent);
    }
    group.popularity = popularity_from_hits(hits, group.used);
    problem.slot_stride = std::max(problem.slot_stride, round_up(group.bytes, 4096) + 4096);
    problem.expert_bytes += static_cast<uint64_t>(group.layers) * group.experts * group.bytes;
    problem.layer_groups.insert(problem.layer_groups.end(), group.layers, problem.experts.size());
    problem.experts.push_back(group);
  }
  problem.expert_disk = {between(2e8, 1e10), between(1e-5, 1e-3)};
  problem.dense_disk = {problem.expert_disk.bytes_per_second * between(1, 2), problem.expert_disk.latency};
  for (ExpertGroup& group : problem.experts) {
    group.issuing = between(1e-7, 1e-3);
  }
  problem.dense_issuing = between(1e-12, 1e-9);
  problem.contention = {between(0.01, 1), between(0.01, 1)};
  problem.modes = groups > 0 ? std::vector<Mode>{Mode::kResident, Mode::kExpertStreaming, Mode::kMixedStreaming}
                             : std::vector<Mode>{Mode::kResident, Mode::kDenseStreaming};
  if (random() % 2 == 0) {
    problem.tables = {bytes(2e7, 1e9), bytes(1e5, 1e7), between(4096, 1e5), 0, 0, true, true};
  }
  if (random() % 3 == 0) {
    problem.tables.output_buffer_bytes = bytes(1e5, 1e7);
    problem.tables.output_token_bytes = between(4096, 1e5);
  }
  problem.table_disk = {problem.expert_disk.bytes_per_second / between(1, 20), problem.expert_disk.latency};
  return problem;
}

}  // namespace hypura
