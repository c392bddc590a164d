# The same targets as Dependencies.cmake, for a build that is not for this machine: the header-only libraries come from
# the folder HYPURA_CROSS_DIR/include, which scripts/build-macos.sh fills, never from the system's include path.
add_library(hypura_headers INTERFACE)
target_include_directories(hypura_headers SYSTEM INTERFACE ${HYPURA_CROSS_DIR}/include)
target_compile_definitions(hypura_headers INTERFACE FMT_HEADER_ONLY SPDLOG_FMT_EXTERNAL)
foreach(name fmt::fmt spdlog::spdlog CLI11::CLI11 nlohmann_json::nlohmann_json tl::expected)
  add_library(${name} ALIAS hypura_headers)
endforeach()

find_package(Threads REQUIRED)

# libedit is part of macOS; HYPURA_CROSS_DIR/lib has a stub that names its symbols.
add_library(hypura_editline INTERFACE)
target_link_libraries(hypura_editline INTERFACE hypura_headers -L${HYPURA_CROSS_DIR}/lib -ledit)
set(HYPURA_EDIT hypura_editline)
# So is libcurl; SHA-256 is in its libSystem.
add_library(hypura_curl INTERFACE)
target_link_libraries(hypura_curl INTERFACE hypura_headers -L${HYPURA_CROSS_DIR}/lib -lcurl)
set(HYPURA_CURL hypura_curl)
set(HYPURA_URING "")
set(HYPURA_CLP "") # no solver for linear programs: plans are found by rule, and say so
set(HYPURA_BEAST hypura_headers)
