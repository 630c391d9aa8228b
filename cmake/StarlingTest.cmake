# starling_test(NAME SOURCES ... DEPENDS module targets... LIBRARIES ...) makes one GoogleTest binary
# `NAME` and registers each of its tests with CTest. SERIAL: nothing else runs beside them.
# REPLACES_ALLOCATOR: the binary has its own operator new, and is not built where a sanitizer has one.
#
# A test without LABELS that links no gRPC is labelled below_doors and built by target tests_below_doors: the thread
# sanitizer runs those, because it takes what a library that it does not know does with threads for races.
include(GoogleTest)
set(STARLING_DOOR_MODULES "^(node_doors|node_daemon|client|client_cli|proto_public)$")
add_custom_target(tests_below_doors)

function(starling_test NAME)
  cmake_parse_arguments(ARG "SERIAL;REPLACES_ALLOCATOR" "TIMEOUT" "SOURCES;DEPENDS;LIBRARIES;LABELS"
                        ${ARGN})
  foreach(SOURCE ${ARG_SOURCES})
    set_property(GLOBAL APPEND PROPERTY STARLING_TEST_SOURCES ${CMAKE_CURRENT_SOURCE_DIR}/${SOURCE})
  endforeach()
  if(ARG_REPLACES_ALLOCATOR AND STARLING_SANITIZE)
    return()
  endif()
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 300)
  endif()
  add_executable(${NAME} ${ARG_SOURCES})
  if(NOT ARG_LABELS)
    set(DOORS ${ARG_DEPENDS})
    list(FILTER DOORS INCLUDE REGEX "${STARLING_DOOR_MODULES}")
    if(NOT DOORS)
      set(ARG_LABELS below_doors)
      add_dependencies(tests_below_doors ${NAME})
    endif()
  endif()
  list(TRANSFORM ARG_DEPENDS PREPEND starling_)
  target_include_directories(${NAME} PRIVATE ${CMAKE_SOURCE_DIR})
  target_link_libraries(${NAME} PRIVATE ${ARG_DEPENDS} ${ARG_LIBRARIES} GTest::gmock GTest::gtest_main
                        rapidcheck rapidcheck_gtest starling_warnings)
  if(TARGET starling_tsan)
    target_link_libraries(${NAME} PRIVATE starling_tsan)
  endif()
  gtest_discover_tests(${NAME} DISCOVERY_MODE PRE_TEST
                       PROPERTIES TIMEOUT ${ARG_TIMEOUT} LABELS "${ARG_LABELS}" RUN_SERIAL ${ARG_SERIAL})
endfunction()

# Fails the configure step when a test file belongs to no target.
function(starling_check_tests_built FOLDER)
  file(GLOB_RECURSE FILES CONFIGURE_DEPENDS ${FOLDER}/*_test.cc)
  get_property(SEEN GLOBAL PROPERTY STARLING_TEST_SOURCES)
  foreach(FILE ${FILES})
    if(NOT FILE IN_LIST SEEN)
      message(FATAL_ERROR "no target builds ${FILE}")
    endif()
  endforeach()
endfunction()
