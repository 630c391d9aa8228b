# starling_test(NAME SOURCES ... DEPENDS module targets... LIBRARIES ...) makes one GoogleTest binary
# `NAME` and registers each of its tests with CTest. SERIAL: nothing else runs beside them.
include(GoogleTest)
function(starling_test NAME)
  cmake_parse_arguments(ARG "SERIAL" "TIMEOUT" "SOURCES;DEPENDS;LIBRARIES;LABELS" ${ARGN})
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 300)
  endif()
  add_executable(${NAME} ${ARG_SOURCES})
  foreach(SOURCE ${ARG_SOURCES})
    set_property(GLOBAL APPEND PROPERTY STARLING_TEST_SOURCES ${CMAKE_CURRENT_SOURCE_DIR}/${SOURCE})
  endforeach()
  list(TRANSFORM ARG_DEPENDS PREPEND starling_)
  target_include_directories(${NAME} PRIVATE ${CMAKE_SOURCE_DIR})
  target_link_libraries(${NAME} PRIVATE ${ARG_DEPENDS} ${ARG_LIBRARIES} GTest::gmock GTest::gtest_main
                        rapidcheck rapidcheck_gtest starling_warnings)
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
