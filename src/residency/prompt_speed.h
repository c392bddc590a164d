// How fast a machine computes its share of a prompt's layer, told from what its shares took so far. Pure.
//
// Other than of a token (residency/machine_speed.h): many rows share an expert, reading goes on while what is there is
// computed, and the rows of a worker are many enough that their way over the network counts.
#pragma once

#include "residency/machine_speed.h"

namespace hypura {

// Not thread-safe.
class PromptSpeed {
 public:
  // Seconds of asking at all, of the way of each row there and back, of each expert that is read, of each row.
  struct Parts {
    double visit = 0;
    double way = 0;
    double miss = 0;
    double row = 0;
  };

  // Of what is noted, so much of the difference is believed; of the first, all.
  static constexpr double kBelieved = 0.2;

  // Where reading took more of a share than this, the disk was busy all the time.
  static constexpr double kBusyDisk = 0.1;

  // A machine for which nothing takes time.
  PromptSpeed() = default;

  // What is taken for true at first.
  explicit PromptSpeed(const Parts& assumed) : first_(assumed), now_(assumed) {}

  // A share took so long there, `waited` of which for the disk.
  void note(const MachineLoad& load, double seconds, double waited);

  // So much longer it took until its rows were here.
  void note_way(const MachineLoad& load, double seconds);

  // A layer was computed without the machine: who was slow is tried again.
  void forget();

  // What a share will take; nothing where it is empty.
  double seconds(const MachineLoad& load) const;

  const Parts& parts() const { return now_; }

 private:
  static void learn(double& value, double measured, bool& known);

  Parts first_;
  Parts now_;
  bool knows_way_ = false;
  bool knows_miss_ = false;
  bool knows_row_ = false;
};

}  // namespace hypura
