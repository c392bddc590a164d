# llama.cpp, stock and pinned. Gives llama::ggml (tensors, backends, GGUF) and llama::llama (models, contexts,
# sampling, chat templates). The compute backends (CPU variants, Metal) are loaded at run time from the folder that ggml
# itself was loaded from, those for other GPUs from gpu/ below it: HYPURA_LLAMA_LIB_DIR in this build tree, lib/hypura
# where it is installed.
set(HYPURA_LLAMA prebuilt CACHE STRING "Where llama.cpp comes from: prebuilt, or source (built from its source)")
set_property(CACHE HYPURA_LLAMA PROPERTY STRINGS prebuilt source)
set(HYPURA_LLAMA_DIR "" CACHE PATH "A folder with llama.cpp's own shared libraries, used instead of both")
set(HYPURA_LLAMA_OWN_SOURCE "" CACHE PATH "The source of another llama.cpp than the pinned one, to build or for HYPURA_LLAMA_DIR")

if(NOT HYPURA_LLAMA MATCHES "^(prebuilt|source)$")
  message(FATAL_ERROR "HYPURA_LLAMA is \"${HYPURA_LLAMA}\"; it must be prebuilt or source.")
endif()

if(HYPURA_LLAMA_OWN_SOURCE AND HYPURA_LLAMA STREQUAL "prebuilt" AND NOT HYPURA_LLAMA_DIR)
  message(FATAL_ERROR "HYPURA_LLAMA_OWN_SOURCE is given, but the prebuilt libraries are of the pinned llama.cpp: "
    "set HYPURA_LLAMA=source to build it, or HYPURA_LLAMA_DIR to the libraries that were built of it.")
endif()

if(HYPURA_LLAMA STREQUAL "source" OR HYPURA_LLAMA_DIR)
  set(llama_platform none)
elseif(CMAKE_SYSTEM_NAME STREQUAL "Darwin")
  set(llama_platform mac-arm64-metal)
elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "aarch64|arm64")
  set(llama_platform linux-arm64)
else()
  set(llama_platform linux-x64)
endif()
set(llama_prebuilt
  ${PROJECT_SOURCE_DIR}/deps/llama-${llama_platform}/node_modules/@node-llama-cpp/${llama_platform}/bins/${llama_platform})

# Which release each platform has says deps/llama-pins.txt.
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/deps/llama-pins.txt)
execute_process(COMMAND ${PROJECT_SOURCE_DIR}/scripts/llama-pin.sh source ${llama_platform}
  OUTPUT_VARIABLE HYPURA_LLAMA_SOURCE OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
set(HYPURA_LLAMA_SOURCE ${PROJECT_SOURCE_DIR}/${HYPURA_LLAMA_SOURCE})
if(HYPURA_LLAMA_OWN_SOURCE)
  set(HYPURA_LLAMA_SOURCE ${HYPURA_LLAMA_OWN_SOURCE})
endif()

set(llama_wanted ${HYPURA_LLAMA_SOURCE}/include/llama.h ${HYPURA_LLAMA_SOURCE}/ggml/src/ggml-rpc/ggml-rpc.cpp)
set(llama_parts "")
set(llama_missing "")
if(HYPURA_TESTS OR HYPURA_FUZZ)
  list(APPEND llama_wanted ${HYPURA_LLAMA_SOURCE}/models/templates ${HYPURA_LLAMA_SOURCE}/tests/test-llama-archs.cpp
    ${HYPURA_LLAMA_SOURCE}/src/llama-vocab.cpp)
  list(APPEND llama_parts --models)
endif()
if(HYPURA_LLAMA STREQUAL "source" AND NOT HYPURA_LLAMA_DIR)
  list(APPEND llama_wanted ${HYPURA_LLAMA_SOURCE}/ggml/CMakeLists.txt)
  list(APPEND llama_parts --code)
endif()
if(NOT llama_platform STREQUAL "none")
  list(APPEND llama_wanted ${llama_prebuilt})
endif()
foreach(path ${llama_wanted})
  if(NOT EXISTS ${path})
    list(APPEND llama_missing ${path})
  endif()
endforeach()
if(HYPURA_LLAMA_OWN_SOURCE)
  if(llama_missing)
    message(FATAL_ERROR "HYPURA_LLAMA_OWN_SOURCE must be llama.cpp's source, but there is no ${llama_missing}.")
  endif()
else()
  # What was fetched of another version is no better than nothing.
  execute_process(COMMAND ${PROJECT_SOURCE_DIR}/scripts/llama-pin.sh version ${llama_platform}
    OUTPUT_VARIABLE llama_pinned OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
  set(llama_fetched "")
  if(EXISTS ${HYPURA_LLAMA_SOURCE}/.version)
    file(STRINGS ${HYPURA_LLAMA_SOURCE}/.version llama_fetched)
  endif()
  if(llama_missing OR NOT llama_fetched STREQUAL llama_pinned)
    execute_process(COMMAND ${PROJECT_SOURCE_DIR}/scripts/fetch-llama.sh ${llama_parts} ${llama_platform}
      COMMAND_ERROR_IS_FATAL ANY)
  endif()
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${HYPURA_LLAMA_SOURCE}/.version)
endif()

# What the program is compiled for; it starts with no other.
file(STRINGS ${HYPURA_LLAMA_SOURCE}/CMakeLists.txt llama_numbers REGEX "^set\\(LLAMA_VERSION_(MAJOR|MINOR|PATCH) [0-9]+\\)")
list(TRANSFORM llama_numbers REPLACE "[^0-9]" "")
list(JOIN llama_numbers "." HYPURA_LLAMA_VERSION)
if(NOT HYPURA_LLAMA_VERSION MATCHES "^[0-9]+\\.[0-9]+\\.[0-9]+$")
  message(FATAL_ERROR "${HYPURA_LLAMA_SOURCE}/CMakeLists.txt does not say which release of llama.cpp it is of.")
endif()

add_library(llama_ggml INTERFACE)
add_library(llama::ggml ALIAS llama_ggml)
add_library(llama_llama INTERFACE)
add_library(llama::llama ALIAS llama_llama)
target_include_directories(llama_ggml SYSTEM INTERFACE
  ${HYPURA_LLAMA_SOURCE}/include ${HYPURA_LLAMA_SOURCE}/ggml/include ${HYPURA_LLAMA_SOURCE}/ggml/src)
target_include_directories(llama_llama SYSTEM INTERFACE
  ${HYPURA_LLAMA_SOURCE}/src ${HYPURA_LLAMA_SOURCE}/common ${HYPURA_LLAMA_SOURCE}/vendor)
target_compile_definitions(llama_llama INTERFACE HYPURA_LLAMA_VERSION="${HYPURA_LLAMA_VERSION}")
target_link_libraries(llama_llama INTERFACE llama_ggml)

# llama.cpp's RPC server, for workers: of its two files the one that knows the protocol. What it takes of sockets is in
# src/backend/worker/rpc_transport.cpp. Stock libraries do not have it.
add_library(llama_rpc STATIC ${HYPURA_LLAMA_SOURCE}/ggml/src/ggml-rpc/ggml-rpc.cpp)
add_library(llama::rpc ALIAS llama_rpc)
set_target_properties(llama_rpc PROPERTIES UNITY_BUILD OFF)
if(HYPURA_SANITIZE)
  # It reads numbers where a message has them; inlined, so that no other file's checked copy of a template is linked.
  target_compile_options(llama_rpc PRIVATE -O2 -fno-sanitize=alignment)
endif()
target_include_directories(llama_rpc SYSTEM PUBLIC ${HYPURA_LLAMA_SOURCE}/ggml/src/ggml-rpc)
target_link_libraries(llama_rpc PUBLIC llama_ggml)

# The one library in HYPURA_LLAMA_LIB_DIR called `name`: plain (libllama.so, as llama.cpp's own build calls it), or
# with a version in the name (libllama.v0.5.0.so, as the prebuilt packages call it).
function(llama_library out name)
  set(suffix ${CMAKE_SHARED_LIBRARY_SUFFIX})
  set(found ${HYPURA_LLAMA_LIB_DIR}/${name}${suffix})
  if(NOT EXISTS ${found})
    file(GLOB found ${HYPURA_LLAMA_LIB_DIR}/${name}.*${suffix})
  endif()
  list(LENGTH found count)
  if(NOT count EQUAL 1)
    message(FATAL_ERROR "${HYPURA_LLAMA_LIB_DIR} must hold one ${name}${suffix}, but it holds ${count}: "
      "point HYPURA_LLAMA_DIR at a folder with llama.cpp's shared libraries, or leave it empty.")
  endif()
  set(${out} ${found} PARENT_SCOPE)
endfunction()

if(HYPURA_LLAMA STREQUAL "source" AND NOT HYPURA_LLAMA_DIR)
  # llama.cpp's own options (GGML_NATIVE, GGML_CUDA, GGML_VULKAN, ...) may be given on the command line as usual.
  set(LLAMA_BUILD_COMMON ON CACHE BOOL "")
  set(LLAMA_OPENSSL OFF CACHE BOOL "")
  set(LLAMA_BUILD_NUMBER 0) # or it would take our repository for its own
  set(LLAMA_BUILD_COMMIT "v${HYPURA_LLAMA_VERSION}")
  set(BUILD_SHARED_LIBS ON)
  set(CMAKE_POSITION_INDEPENDENT_CODE ON)
  set(CMAKE_UNITY_BUILD OFF)  # its sources are not made to be compiled together
  # EXCLUDE_FROM_ALL also leaves out llama.cpp's own install rules; ours are below.
  add_subdirectory(${HYPURA_LLAMA_SOURCE} ${CMAKE_BINARY_DIR}/llama.cpp EXCLUDE_FROM_ALL)
  unset(BUILD_SHARED_LIBS)
  unset(CMAKE_UNITY_BUILD)
  set(HYPURA_LLAMA_LIB_DIR ${CMAKE_BINARY_DIR}/bin)
  # LINK_ONLY: headers come from the SYSTEM folders above, or our warnings would apply to them.
  target_link_libraries(llama_ggml INTERFACE $<LINK_ONLY:ggml> $<LINK_ONLY:ggml-base>)
  target_link_libraries(llama_llama INTERFACE $<LINK_ONLY:llama-common> $<LINK_ONLY:llama>)
  set(llama_targets llama-common llama ggml ggml-base ${GGML_AVAILABLE_BACKENDS})
  # As they are called where they are installed, in the order in which they are linked.
  set(HYPURA_LLAMA_LINKED "")
  foreach(target llama-common llama ggml ggml-base)
    list(APPEND HYPURA_LLAMA_LINKED $<TARGET_SONAME_FILE_NAME:${target}>)
  endforeach()
  # With the folders of what backends link besides, such as CUDA's.
  set_target_properties(${llama_targets} PROPERTIES PUBLIC_HEADER "" INSTALL_RPATH_USE_LINK_PATH TRUE
    INSTALL_RPATH "$<IF:$<PLATFORM_ID:Darwin>,@loader_path,$ORIGIN>")
  install(TARGETS ${llama_targets} LIBRARY DESTINATION lib/hypura NAMELINK_SKIP)
else()
  set(HYPURA_LLAMA_LIB_DIR ${llama_prebuilt})
  if(HYPURA_LLAMA_DIR)
    set(HYPURA_LLAMA_LIB_DIR ${HYPURA_LLAMA_DIR})
  endif()
  llama_library(ggml_base libggml-base)
  llama_library(ggml_main libggml)
  llama_library(llama_main libllama)
  llama_library(llama_common libllama-common)
  target_link_libraries(llama_ggml INTERFACE ${ggml_main} ${ggml_base})
  target_link_libraries(llama_llama INTERFACE ${llama_common} ${llama_main})
  set(HYPURA_LLAMA_LINKED ${llama_common} ${llama_main} ${ggml_main} ${ggml_base})
  list(TRANSFORM HYPURA_LLAMA_LINKED REPLACE ".*/" "")
  # With the loadable backends, and with links and versioned names (libggml.so.0) where there are some.
  file(GLOB llama_files ${HYPURA_LLAMA_LIB_DIR}/libggml* ${HYPURA_LLAMA_LIB_DIR}/libllama*)
  install(FILES ${llama_files} DESTINATION lib/hypura)
  # What scripts/fetch-gpu.sh has put there by then.
  install(DIRECTORY ${HYPURA_LLAMA_LIB_DIR}/gpu DESTINATION lib/hypura OPTIONAL)
endif()

target_link_libraries(llama_llama INTERFACE ${CMAKE_DL_LIBS})
set(CMAKE_BUILD_RPATH ${HYPURA_LLAMA_LIB_DIR})
install(FILES ${HYPURA_LLAMA_SOURCE}/LICENSE DESTINATION share/doc/hypura RENAME LICENSE.llama.cpp)
