# Libraries from the system's package manager; scripts/packages.txt names the packages.
if(HYPURA_CROSS_DIR)
  include(${CMAKE_CURRENT_LIST_DIR}/CrossDependencies.cmake)
  return()
endif()

# Headers of packages that are not installed (scripts/unpack-headers.sh).
list(APPEND CMAKE_PREFIX_PATH ${PROJECT_SOURCE_DIR}/deps/debian/usr)

find_package(fmt REQUIRED)
find_package(spdlog REQUIRED)
find_package(CLI11 REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(Threads REQUIRED)
if(HYPURA_TESTS)
  find_package(GTest REQUIRED)
endif()
if(HYPURA_BENCH)
  find_package(benchmark REQUIRED)
endif()

find_path(TL_EXPECTED_INCLUDE tl/expected.hpp REQUIRED)
add_library(tl::expected INTERFACE IMPORTED)
target_include_directories(tl::expected INTERFACE ${TL_EXPECTED_INCLUDE})

# The solver for linear programs is optional: without it (as on macOS) plans are found by rule, and say so. Not by
# pkg-config, which would have the libraries linked too that CLP itself is linked to (zlib, bzip2, LAPACK).
set(HYPURA_CLP "")
find_path(CLP_INCLUDE Clp_C_Interface.h PATH_SUFFIXES coin coin-or)
find_library(CLP_LIBRARY NAMES Clp libClp.so.1) # the second where its package for developing is not installed
if(CLP_INCLUDE AND CLP_LIBRARY)
  add_library(coin::clp INTERFACE IMPORTED)
  target_include_directories(coin::clp INTERFACE ${CLP_INCLUDE})
  target_link_libraries(coin::clp INTERFACE ${CLP_LIBRARY})
  set(HYPURA_CLP coin::clp)
endif()

set(HYPURA_URING "")
if(CMAKE_SYSTEM_NAME STREQUAL "Linux")
  find_package(PkgConfig REQUIRED)
  pkg_check_modules(URING REQUIRED IMPORTED_TARGET liburing)
  set(HYPURA_URING PkgConfig::URING)
endif()

# Header-only parts of Boost: Asio and Beast, for HTTP.
find_package(Boost 1.81 REQUIRED)
set(HYPURA_BEAST Boost::headers)

# For fetching models: HTTP, and the SHA-256 of what came.
find_package(CURL 7.85 REQUIRED)
find_package(OpenSSL REQUIRED COMPONENTS Crypto)
set(HYPURA_CURL CURL::libcurl OpenSSL::Crypto)

find_path(EDITLINE_INCLUDE histedit.h REQUIRED)
find_library(EDITLINE_LIBRARY edit REQUIRED)
add_library(editline::editline INTERFACE IMPORTED)
target_include_directories(editline::editline INTERFACE ${EDITLINE_INCLUDE})
target_link_libraries(editline::editline INTERFACE ${EDITLINE_LIBRARY})
set(HYPURA_EDIT editline::editline)
