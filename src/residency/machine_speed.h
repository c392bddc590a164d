// How fast a machine computes its share of a layer, told from what its shares took so far. Pure.
#pragma once

#include <cstdint>

namespace hypura {

// What one machine was given of a layer.
struct MachineLoad {
  uint32_t rows = 0;    // of pairs of a token and an expert
  uint32_t misses = 0;  // experts that it had to read

  bool operator==(const MachineLoad&) const = default;
};

// Seconds of a share: of asking at all, of each expert that is read, of each row. Not thread-safe.
class MachineSpeed {
 public:
  // Of what is noted, so much of the difference is believed, and nothing is taken for more than so many times what was
  // thought: what takes long once, as the first of all, is no rule.
  static constexpr double kBelieved = 0.1;
  static constexpr double kMostTimes = 10;

  // Of what was learned, so much is forgotten with each layer that the machine was given nothing of: who was slow is
  // tried again. One that takes ten times too long is then asked for one layer in 640.
  static constexpr double kForgotten = 0.001;

  // What is taken for true at first.
  MachineSpeed(double visit, double miss, double row) : first_{visit, miss, row}, now_(first_) {}

  // A share took so long, asking left out.
  void note(const MachineLoad& load, double measured);

  // Asking took so long.
  void note_visit(double measured);

  // A layer was computed without the machine.
  void forget();

  // What a share will take; nothing where it is empty.
  double seconds(const MachineLoad& load) const;

  double visit() const { return now_.visit; }
  double miss() const { return now_.miss; }
  double row() const { return now_.row; }

 private:
  struct Parts {
    double visit = 0;
    double miss = 0;
    double row = 0;
  };

  Parts first_;
  Parts now_;
};

}  // namespace hypura
