# Toolchain file: arm64 macOS 13 from Linux, with the Zig compiler. scripts/build-macos.sh prepares HYPURA_CROSS_DIR:
# bin (compiler wrappers), include (header-only libraries), lib (stubs of system libraries).
set(CMAKE_SYSTEM_NAME Darwin)
set(CMAKE_SYSTEM_PROCESSOR arm64)
set(CMAKE_TRY_COMPILE_PLATFORM_VARIABLES HYPURA_CROSS_DIR)

set(CMAKE_C_COMPILER ${HYPURA_CROSS_DIR}/bin/cc)
set(CMAKE_CXX_COMPILER ${HYPURA_CROSS_DIR}/bin/c++)
set(CMAKE_AR ${HYPURA_CROSS_DIR}/bin/ar)
set(CMAKE_RANLIB ${HYPURA_CROSS_DIR}/bin/ranlib)

# Zig brings the headers and stubs of the SDK, so there is no sysroot; and the program is linked with the run paths of
# an installed copy, so nothing needs install_name_tool, which Linux does not have.
set(CMAKE_OSX_SYSROOT "" CACHE STRING "")
set(CMAKE_BUILD_WITH_INSTALL_RPATH ON)
set(CMAKE_INSTALL_NAME_TOOL /bin/true)

set(CMAKE_FIND_ROOT_PATH ${HYPURA_CROSS_DIR})
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)
