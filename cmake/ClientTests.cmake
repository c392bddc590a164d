# Tests of the server by the official clients of its APIs, by raw requests, by a browser and under load, all in Node:
# tests/clients and tests/load. Each starts a server of its own, with the demo model.
if(NOT HYPURA_TESTS OR CMAKE_CROSSCOMPILING)
  return()
endif()

add_test(NAME clients.install COMMAND ${PROJECT_SOURCE_DIR}/scripts/npm-install.sh tests/clients)
set_tests_properties(clients.install PROPERTIES LABELS clients TIMEOUT 300 FIXTURES_SETUP client_packages)

# Those that look at times, or compute on several threads, have the machine to themselves.
function(hypura_client_test name serial)
  add_test(NAME clients.${name} COMMAND ${TEST_NODE} ${ARGN})
  set_tests_properties(clients.${name} PROPERTIES LABELS clients TIMEOUT 600 RUN_SERIAL ${serial}
    FIXTURES_REQUIRED client_packages ENVIRONMENT HYPURA_PROGRAM=$<TARGET_FILE:hypura>)
endfunction()

set(tests ${PROJECT_SOURCE_DIR}/tests)
foreach(name ollama openai anthropic)
  hypura_client_test(${name} FALSE --test ${tests}/clients/${name}.test.mjs)
endforeach()
hypura_client_test(requests TRUE --test ${tests}/clients/requests.test.mjs)
if(HYPURA_SANITIZE)
  return() # the rest looks at memory and at speed, which sanitizers change, or takes minutes with them
endif()
foreach(name ai_sdk langchain)
  hypura_client_test(${name} FALSE --test ${tests}/clients/${name}.test.mjs)
endforeach()
foreach(name agents page)
  hypura_client_test(${name} TRUE --test ${tests}/clients/${name}.test.mjs)
endforeach()
hypura_client_test(load TRUE ${tests}/load/load.mjs --seconds 4 --storm 60 --slow 4 --halves 20)
