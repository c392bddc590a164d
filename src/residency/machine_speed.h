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
  // Of what is noted, so much of the difference is believed.
  static constexpr double kBelieved = 0.1;

  // What is taken for true until something was noted.
  MachineSpeed(double visit, double miss, double row) : visit_(visit), miss_(miss), row_(row) {}

  // A share took so long, asking left out.
  void note(const MachineLoad& load, double seconds);

  // Asking took so long.
  void note_visit(double seconds);

  // What a share will take; nothing where it is empty.
  double seconds(const MachineLoad& load) const;

  double visit() const { return visit_; }
  double miss() const { return miss_; }
  double row() const { return row_; }

 private:
  double visit_;
  double miss_;
  double row_;
  bool missed_ = false;    // a share with misses was noted
  bool computed_ = false;  // one without
  bool visited_ = false;   // asking was
};

}  // namespace hypura
