# hypura_web: the page that the server shows, bundled from web/ and compiled in. Gives page_data()
# (src/server/page/page_data.h). Node is there where llama.cpp's packages come from; nothing of it is needed to run.
find_program(NODE_PROGRAM node)
if(NOT NODE_PROGRAM)
  message(FATAL_ERROR "node is not installed, and the page in web/ is bundled with it: install nodejs and npm.")
endif()

set(web_folder ${CMAKE_BINARY_DIR}/web)
file(GLOB_RECURSE web_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/web/src/*)
set(web_tools build.mjs cpp.mjs package.json package-lock.json)
list(TRANSFORM web_tools PREPEND ${PROJECT_SOURCE_DIR}/web/)
add_custom_command(
  OUTPUT ${web_folder}/page_data.cpp ${web_folder}/page.html ${web_folder}/LICENSE.web
  COMMAND ${PROJECT_SOURCE_DIR}/scripts/npm-install.sh web
  COMMAND ${NODE_PROGRAM} ${PROJECT_SOURCE_DIR}/web/build.mjs ${web_folder}
  DEPENDS ${web_sources} ${web_tools} ${PROJECT_SOURCE_DIR}/scripts/npm-install.sh
  COMMENT "Bundling the page"
  VERBATIM)
add_library(hypura_web STATIC ${web_folder}/page_data.cpp)
target_link_libraries(hypura_web PRIVATE hypura_options)
target_link_libraries(hypura_server PRIVATE hypura_web)
install(FILES ${web_folder}/LICENSE.web DESTINATION share/doc/hypura)

if(HYPURA_TESTS)
  include(cmake/TestNode.cmake)
  file(GLOB web_tests CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/web/test/*.test.mjs)
  add_test(NAME web COMMAND ${TEST_NODE} --test ${web_tests})
  set_tests_properties(web PROPERTIES LABELS server TIMEOUT 120)
endif()
