// How long something takes that can be done again and again, and what follows from that: always numbers that can be
// reckoned with, however fast a device is and whatever a clock says.
#pragma once

#include <functional>

namespace hypura {

// Seconds since some moment, never less than before.
using RunClock = std::function<double()>;

// The system's.
RunClock steady_run_clock();

// Nothing that a device is given is done in less.
inline constexpr double kShortestRun = 1e-9;

// Seconds of one `run`, at least kShortestRun: the median of what some took, for about `seconds` and at least once.
// What the first do and later ones do not is left out. Runs too short for the clock are timed several together. It ends
// even if the clock stands still.
double seconds_of_run(const RunClock& clock, double seconds, const std::function<void()>& run);

// What a run takes beyond a part of it that was measured apart. A device may begin with the next thing before the last
// ended, and either time may be off: so it is a quarter of the run at least.
double beyond(double run, double part);

}  // namespace hypura
