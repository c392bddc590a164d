// Writing files without filling the page cache: the part that differs between systems.
#pragma once

#include <filesystem>

namespace hypura {

// Creates or truncates a file for writing past the page cache where the file system allows. Writes must then be
// multiples of 4096 in offset, length and memory address. `mode`: who may read it, less the umask. Returns a
// descriptor, or -1 with errno set.
int open_uncached(const std::filesystem::path& path, unsigned mode);

// The same for a file in `folder` that has no name, and is gone when the program ends, however it does; -1 where the
// system or the file system has no such files, or none that name_file() can give a name.
int open_nameless(const std::filesystem::path& folder, unsigned mode);

// Gives a file of open_nameless() a name that is free. Returns 0 or an errno value.
int name_file(int fd, const std::filesystem::path& path);

// Forces what was written to disk and lets the page cache forget it. Returns 0 or an errno value.
int flush_uncached(int fd);

}  // namespace hypura
