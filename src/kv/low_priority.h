// Reads and writes that give way to all others.
#pragma once

namespace hypura {

// From now on the disk serves this thread, and those that it starts, only when nobody else wants it, where the system
// knows such a thing. Without effect else.
void lower_disk_priority();

}  // namespace hypura
