# Each tests/fuzz/NAME_fuzz.cpp becomes the program NAME_fuzz: libFuzzer over the rooms, which HYPURA_SANITIZE and the
# coverage that libFuzzer is guided by are compiled into, and which the sanitized tests share with them. `make fuzz` runs
# them, from tests/fuzz/corpus/NAME. Coverage makes objects twice as large and a quarter slower to compile, so that tests
# and what no fuzz target links have none.
if(NOT CMAKE_CXX_COMPILER_ID MATCHES "Clang")
  message(FATAL_ERROR "The fuzz targets need clang: configure with the preset asan-ubsan.")
endif()
# What is undefined ends the run. The check of virtual tables wants type information that llama.cpp's libraries hide.
target_compile_options(hypura_options INTERFACE -fno-sanitize-recover=all -fno-sanitize=vptr,function)
target_link_options(hypura_options INTERFACE -fno-sanitize=vptr,function)

get_property(rooms GLOBAL PROPERTY HYPURA_ROOMS)
list(REMOVE_ITEM rooms bench cli)
foreach(room ${rooms})
  target_compile_options(hypura_${room} PRIVATE -fsanitize=fuzzer-no-link)
endforeach()

add_custom_target(fuzz_targets)
file(GLOB fuzz_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/tests/fuzz/*_fuzz.cpp)
foreach(source ${fuzz_sources})
  get_filename_component(name ${source} NAME_WE)
  add_executable(${name} ${source})
  target_link_libraries(${name} PRIVATE hypura::generate hypura::server hypura::make_model)
  target_compile_options(${name} PRIVATE -fsanitize=fuzzer-no-link)
  target_compile_definitions(${name} PRIVATE HYPURA_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
  target_link_options(${name} PRIVATE -fsanitize=fuzzer
                      -Wl,--version-script=${PROJECT_SOURCE_DIR}/cmake/fuzz_symbols.map)
  add_dependencies(fuzz_targets ${name})
endforeach()
