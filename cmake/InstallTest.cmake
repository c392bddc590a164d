# An outside project embeds the installed library: examples/embed, by the CMake package and by pkg-config.
if(NOT HYPURA_TESTS OR HYPURA_SANITIZE OR CMAKE_CROSSCOMPILING OR NOT CMAKE_SYSTEM_NAME STREQUAL "Linux")
  return()
endif()
add_test(NAME install COMMAND ${PROJECT_SOURCE_DIR}/scripts/test-install.sh ${PROJECT_BINARY_DIR} ${CMAKE_CXX_COMPILER})
set_tests_properties(install PROPERTIES LABELS install TIMEOUT 300)
