// Which machine computes which expert of a layer, where several have the same model: this one, and workers that are
// asked over a network. Pure: it moves nothing.
//
// Every machine could compute every expert, from its own copy of the model; what differs is whether it has the expert
// in memory, which workers tell with each of their answers: of the layer that they answer for, as of then. So a map
// here is as old as the layer's last answer; where the worker read something since, that costs time and nothing else.
//
// - An expert that some machines have goes to that one of them which is done first.
// - One that nobody has goes to whoever is then done first: the memories fill with different experts, and together hold
//   as much as they are large.
// - If this machine alone would be done sooner, it is: a worker that does not pay is not asked, but tried again now and
//   then.
//
// A prompt wants nearly all experts of a layer: there each goes to whoever is then done first, whether it has it or has
// to read it, and who is to read what of the next layer is said ahead.
//
// By shares that were measured (residency/machine_speed.h). Not thread-safe: the owner serialises.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "residency/machine_speed.h"
#include "residency/prompt_speed.h"

namespace hypura {

// An expert that a layer wants.
struct WantedExpert {
  uint32_t expert = 0;
  uint32_t rows = 0;  // that chose it
  bool here = false;  // in this machine's memory
};

enum class SharedWork : uint8_t { kTokens, kPrompt };

class MachineShare {
 public:
  // In the answers of divide(): this machine; worker i is i + 1.
  static constexpr uint32_t kHere = 0;

  // For `workers` workers, none of which has joined.
  MachineShare(uint32_t layers, uint32_t experts, size_t workers, const MachineSpeed& here,
               const PromptSpeed& prompts_here = {});

  // A worker is there from now on; what it has in memory is not known yet. To ask it is taken to cost the least that
  // was ever said of it: a way that was measured while its machine came up may look long, and what is learned later is
  // forgotten towards that, so that the worker would not be asked for as long as it is there.
  void join(size_t worker, const MachineSpeed& speed, const PromptSpeed& prompts = {});

  // It is not.
  void leave(size_t worker) { workers_[worker].reset(); }

  bool joined(size_t worker) const { return workers_[worker].has_value(); }
  bool any_joined() const;

  // Whether a worker's map of the layer is known; without one it is given nothing of that layer.
  bool knows(size_t worker, uint32_t layer) const { return workers_[worker] && !workers_[worker]->maps[layer].empty(); }

  // What a worker has of the layer in memory now: of expert e bit e % 8 of byte e / 8. Of any length.
  void set_map(size_t worker, uint32_t layer, std::span<const std::byte> map);

  // For each of `wanted`, ascending, who computes it; workers that it gives nothing forget some of what they taught.
  // Valid until the next call.
  std::span<const uint32_t> divide(uint32_t layer, std::span<const WantedExpert> wanted,
                                   SharedWork work = SharedWork::kTokens);

  // The prompt will want these of `layer`, the next that is divided: for each of `likely`, ascending, who would compute
  // it, which divide() keeps to as far as nobody has it. Empty where the map of some worker that has joined is not
  // known. Valid until the next call.
  std::span<const uint32_t> divide_ahead(uint32_t layer, std::span<const WantedExpert> likely);

  // The same with all for this machine.
  std::span<const uint32_t> keep_here(uint32_t layer, std::span<const WantedExpert> wanted);

  // What divide() or keep_here() last gave a machine.
  const MachineLoad& load(uint32_t machine) const { return loads_[machine]; }

  // Whether a worker has the expert, as far as is known.
  bool has(size_t worker, uint32_t layer, uint32_t expert) const;
  // Whether any has.
  bool any_has(uint32_t layer, uint32_t expert) const;

  MachineSpeed& speed(uint32_t machine) { return machine == kHere ? here_ : workers_[machine - 1]->speed; }
  PromptSpeed& prompt_speed(uint32_t machine) {
    return machine == kHere ? prompts_here_ : workers_[machine - 1]->prompts;
  }

  // How long the machine will take for load(), of such work.
  double expected_seconds(uint32_t machine, SharedWork work) const { return done(machine, loads_[machine], work); }

 private:
  struct Worker {
    MachineSpeed speed;
    PromptSpeed prompts;
    std::vector<std::vector<bool>> maps;  // by layer, then expert; empty: not known
  };

  // Who is in question for an expert, in the order in which experts are given away.
  enum class Choice : uint8_t { kHolders, kPromised, kAll };

  bool has_it(uint32_t machine, uint32_t layer, const WantedExpert& wanted) const;
  bool takes_part(uint32_t machine, uint32_t layer) const;
  std::optional<uint32_t> promised(uint32_t layer, uint32_t expert) const;
  Choice choice(uint32_t layer, const WantedExpert& wanted) const;
  uint32_t choose(uint32_t layer, const WantedExpert& wanted, Choice among, SharedWork work) const;
  void assign(uint32_t layer, std::span<const WantedExpert> wanted, SharedWork work);
  void give(uint32_t machine, uint32_t layer, const WantedExpert& wanted);
  double done(uint32_t machine, const MachineLoad& load, SharedWork work) const;
  double last_done(SharedWork work) const;
  void let_forget(SharedWork work);

  uint32_t layers_;
  uint32_t experts_;
  MachineSpeed here_;
  PromptSpeed prompts_here_;
  std::vector<std::optional<Worker>> workers_;
  std::vector<double> least_visits_;  // by worker: of the speeds that it joined with
  std::vector<MachineLoad> loads_;    // by machine
  std::vector<uint32_t> who_;         // by wanted expert

  // Of the last divide_ahead().
  uint32_t ahead_layer_ = 0;
  std::vector<uint32_t> ahead_experts_;  // ascending
  std::vector<uint32_t> ahead_who_;
};

}  // namespace hypura
