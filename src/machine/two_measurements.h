// What two measurements of a machine say together. Clouds give a disk credit for a burst, processors slow down when
// they are hot, and neighbours come and go: one measurement of some seconds sees one of these states.
#pragma once

#include "hypura/profile.h"

namespace hypura {

// Less than this share between the two is no noise. Chosen: two measurements of one machine at rest differ by up to a
// tenth in the median of their figures.
inline constexpr double kLastingNoise = 0.9;

// `second`, which was measured minutes after `first` on the same machine, with the better of each two rates, and the
// shares of these that last. What only one of them has is taken from it. `first` may be of two measurements already:
// then what lasts is the least of all three. Neither may be disturbed.
MachineProfile two_measurements(const MachineProfile& first, MachineProfile second);

}  // namespace hypura
