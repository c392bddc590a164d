# TEST_NODE: the Node.js that runs the tests. The official clients and Playwright want 20; where the system's is older, as
# Debian 12's is, one from the npm registry is installed in deps/. What `make run` needs works with 18.
set(TEST_NODE ${NODE_PROGRAM})
execute_process(COMMAND ${NODE_PROGRAM} --version OUTPUT_VARIABLE node_version OUTPUT_STRIP_TRAILING_WHITESPACE)
string(REPLACE "v" "" node_version "${node_version}")
if(node_version VERSION_LESS 20 AND CMAKE_SYSTEM_NAME STREQUAL "Linux")
  set(node_platform linux-x64)
  if(CMAKE_SYSTEM_PROCESSOR MATCHES "aarch64|arm64")
    set(node_platform linux-arm64)
  endif()
  execute_process(COMMAND ${PROJECT_SOURCE_DIR}/scripts/npm-install.sh node-${node_platform} COMMAND_ERROR_IS_FATAL ANY)
  set(TEST_NODE ${PROJECT_SOURCE_DIR}/deps/node-${node_platform}/node_modules/node-${node_platform}/bin/node)
endif()
