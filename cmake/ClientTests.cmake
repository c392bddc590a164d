# Tests of the server by the official clients of its APIs, by raw requests, by a browser and under load, all in Node:
# tests/clients and tests/load. Each starts a server of its own, with the demo model.
if(NOT HYPURA_TESTS OR CMAKE_CROSSCOMPILING)
  return()
endif()

add_test(NAME clients.install COMMAND ${PROJECT_SOURCE_DIR}/scripts/npm-install.sh tests/clients)
set_tests_properties(clients.install PROPERTIES LABELS clients TIMEOUT 300 FIXTURES_SETUP client_packages)

# They compute and measure: one beside another would be slow, and some look at times.
function(hypura_client_test name)
  add_test(NAME clients.${name} COMMAND ${TEST_NODE} ${ARGN})
  set_tests_properties(clients.${name} PROPERTIES LABELS clients TIMEOUT 600 RUN_SERIAL TRUE
    FIXTURES_REQUIRED client_packages ENVIRONMENT HYPURA_PROGRAM=$<TARGET_FILE:hypura>)
endfunction()

foreach(name ollama openai anthropic requests)
  hypura_client_test(${name} --test ${PROJECT_SOURCE_DIR}/tests/clients/${name}.test.mjs)
endforeach()
if(HYPURA_SANITIZE)
  return() # the rest looks at memory and at speed, which sanitizers change, or takes minutes with them
endif()
foreach(name ai_sdk langchain agents)
  hypura_client_test(${name} --test ${PROJECT_SOURCE_DIR}/tests/clients/${name}.test.mjs)
endforeach()
hypura_client_test(page --test ${PROJECT_SOURCE_DIR}/tests/clients/page.test.mjs)
hypura_client_test(load ${PROJECT_SOURCE_DIR}/tests/load/load.mjs --seconds 4 --storm 60 --slow 4 --halves 20)
