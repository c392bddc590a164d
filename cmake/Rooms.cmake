# hypura_room(NAME [DEPENDS target...] [TESTS_DEPEND target...] [EXECUTABLE program])
#
# One room of the house: every *.cpp under src/NAME becomes the library hypura::NAME, every *_test.cpp the test
# program NAME_test. *_slow_test.cpp files make NAME_slow_test, whose tests carry the label "slow" and are left out of the
# sanitizer runs, as are *_matrix_test.cpp files, which try all of something. Tests compute on one thread, beside others;
# those of NAME_slow_test whose names end in OnTwoThreads have two cores to themselves. Files named *_linux.cpp or
# *_darwin.cpp are compiled on that system only. With EXECUTABLE, main.cpp is left out of the library and becomes that
# program, which `cmake --install` puts in bin.
add_library(hypura_options INTERFACE)
target_compile_options(hypura_options INTERFACE -Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor -Wconversion
  -Wno-sign-conversion -Werror)
target_include_directories(hypura_options INTERFACE ${PROJECT_SOURCE_DIR}/src ${PROJECT_SOURCE_DIR}/include)
target_compile_definitions(hypura_options INTERFACE HYPURA_VERSION="${PROJECT_VERSION}")
if(HYPURA_SANITIZE)
  # GCC 12 takes libstdc++'s std::function for uninitialised when it is instrumented.
  target_compile_options(hypura_options INTERFACE -fsanitize=${HYPURA_SANITIZE} -fno-omit-frame-pointer
    $<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized>)
  target_link_options(hypura_options INTERFACE -fsanitize=${HYPURA_SANITIZE})
  # The thread sanitizer knows no fences. Asio can do without: its queues are behind mutexes.
  target_compile_definitions(hypura_options INTERFACE BOOST_ASIO_DISABLE_FENCED_BLOCK)
endif()

# hypura_optimised([TARGETS target...] [SOURCES file...]): sanitized builds are not optimised, since compiling takes most of
# their time, but what their tests spend theirs in is.
function(hypura_optimised)
  cmake_parse_arguments(THESE "" "" "TARGETS;SOURCES" ${ARGN})
  if(HYPURA_SANITIZE)
    foreach(target ${THESE_TARGETS})
      target_compile_options(${target} PRIVATE -O1)
    endforeach()
    set_source_files_properties(${THESE_SOURCES} PROPERTIES COMPILE_OPTIONS -O1)
  endif()
endfunction()

function(hypura_sources out)
  file(GLOB_RECURSE found CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/src/${ARGV1}/*.cpp)
  if(NOT CMAKE_SYSTEM_NAME STREQUAL "Linux")
    list(FILTER found EXCLUDE REGEX "_linux(_slow)?(_test)?\\.cpp$")
  endif()
  if(NOT CMAKE_SYSTEM_NAME STREQUAL "Darwin")
    list(FILTER found EXCLUDE REGEX "_darwin(_slow)?(_test)?\\.cpp$")
  endif()
  # A room has one of the two.
  if(HYPURA_CLP)
    list(FILTER found EXCLUDE REGEX "_no_clp\\.cpp$")
  else()
    list(FILTER found EXCLUDE REGEX "/lp_clp\\.cpp$")
  endif()
  set(${out} ${found} PARENT_SCOPE)
endfunction()

function(hypura_test name label sources)
  add_executable(${name} ${sources})
  target_link_libraries(${name} PRIVATE ${ARGN} GTest::gtest_main GTest::gmock)
  target_compile_definitions(${name} PRIVATE HYPURA_SOURCE_DIR="${PROJECT_SOURCE_DIR}"
    HYPURA_LLAMA_LIB_DIR="${HYPURA_LLAMA_LIB_DIR}"
    HYPURA_BIN_DIR="${CMAKE_RUNTIME_OUTPUT_DIRECTORY}")
  # Not -O2: the frameworks' macros are slow to optimise. Not -O0: of the templates of the rooms (JSON, regular
  # expressions) that are compiled here too, the linker takes these. Sanitized tests are as the rest of their build.
  if(NOT HYPURA_SANITIZE)
    target_compile_options(${name} PRIVATE -O1)
  endif()
  # What programs remember between runs stays out of the user's own cache folder.
  set(environment XDG_CACHE_HOME=${PROJECT_BINARY_DIR}/test-cache)
  list(LENGTH sources files)
  if(NOT label STREQUAL "slow")
    hypura_test_parts(${name} ${label} 4 ${files} "${environment}")
    return()
  endif()
  set(both "")
  foreach(source ${sources})
    file(STRINGS ${source} found REGEX "^TEST.*OnTwoThreads" LIMIT_COUNT 1)
    list(APPEND both ${found})
  endforeach()
  if(NOT both)
    hypura_test_parts(${name} slow ${files} 100 "${environment}")
    return()
  endif()
  # Threads that compute together spin while they wait for each other: beside another test they would crawl.
  add_test(NAME ${name}.on_two_threads COMMAND ${name} --gtest_brief=1)
  set_tests_properties(${name}.on_two_threads PROPERTIES LABELS slow TIMEOUT 900 PROCESSORS 2
    ENVIRONMENT "${environment};GTEST_FILTER=*OnTwoThreads*")
  hypura_test_parts(${name} slow ${files} 100 "${environment};GTEST_FILTER=-*OnTwoThreads*")
endfunction()

# Starting a program takes longer than most tests run, a fifth of a second when it is sanitized: a part of the tests
# shares a process. Only what fails is printed, by its name. Parts of a greater `cost` are started sooner, so that the
# last ones are short.
function(hypura_test_parts name label parts cost environment)
  foreach(part RANGE 1 ${parts})
    math(EXPR index "${part} - 1")
    add_test(NAME ${name}.${part}of${parts} COMMAND ${name} --gtest_brief=1)
    set_tests_properties(${name}.${part}of${parts} PROPERTIES LABELS ${label} TIMEOUT 900 COST ${cost}
      ENVIRONMENT "${environment};GTEST_TOTAL_SHARDS=${parts};GTEST_SHARD_INDEX=${index}")
  endforeach()
endfunction()

function(hypura_room name)
  cmake_parse_arguments(ROOM "" "EXECUTABLE" "DEPENDS;TESTS_DEPEND" ${ARGN})
  hypura_sources(sources ${name})
  set(tests ${sources})
  list(FILTER sources EXCLUDE REGEX "_test\\.cpp$|/main\\.cpp$")
  list(FILTER tests INCLUDE REGEX "_test\\.cpp$")
  set(slow_tests ${tests})
  list(FILTER tests EXCLUDE REGEX "_slow_test\\.cpp$")
  list(FILTER slow_tests INCLUDE REGEX "_slow_test\\.cpp$")
  if(HYPURA_SANITIZE)
    list(FILTER tests EXCLUDE REGEX "_matrix_test\\.cpp$")
  endif()

  set_property(GLOBAL APPEND PROPERTY HYPURA_ROOMS ${name})
  add_library(hypura_${name} STATIC ${sources})
  add_library(hypura::${name} ALIAS hypura_${name})
  set_target_properties(hypura_${name} PROPERTIES LINKER_LANGUAGE CXX)
  target_link_libraries(hypura_${name} PUBLIC hypura_options ${ROOM_DEPENDS} Threads::Threads)

  if(ROOM_EXECUTABLE)
    add_executable(${ROOM_EXECUTABLE} src/${name}/main.cpp)
    target_link_libraries(${ROOM_EXECUTABLE} PRIVATE hypura::${name})
    set_target_properties(${ROOM_EXECUTABLE} PROPERTIES
      INSTALL_RPATH "$<IF:$<PLATFORM_ID:Darwin>,@executable_path,$ORIGIN>/../lib/hypura")
    install(TARGETS ${ROOM_EXECUTABLE} RUNTIME DESTINATION bin)
  endif()
  if(HYPURA_TESTS AND tests)
    hypura_test(${name}_test ${name} "${tests}" hypura::${name} ${ROOM_TESTS_DEPEND})
  endif()
  if(HYPURA_TESTS AND slow_tests AND NOT HYPURA_SANITIZE)
    hypura_test(${name}_slow_test slow "${slow_tests}" hypura::${name} ${ROOM_TESTS_DEPEND})
  endif()
endfunction()
