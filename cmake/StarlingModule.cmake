set(STARLING_CMAKE_DIRECTORY ${CMAKE_CURRENT_LIST_DIR})

# A folder is a module. The table below is DESIGN's layer table as code: a dependency that it does not
# allow fails the configure step, and so does an #include of a project header from a forbidden module.
set(STARLING_ALLOWED_base "")
set(STARLING_ALLOWED_env base)
set(STARLING_ALLOWED_proto base)
set(STARLING_ALLOWED_ring base)
set(STARLING_ALLOWED_gossip env proto base)
set(STARLING_ALLOWED_storage env base)
set(STARLING_ALLOWED_node ring gossip storage proto env base)
set(STARLING_ALLOWED_client ring proto env base)
set(STARLING_MODULES base env proto ring gossip storage node client)

# Headers of gRPC, HTTP and configuration stay in the doors, the clients and the mains.
set(STARLING_DOOR_HEADERS "(grpc|grpcpp|boost/beast|toml\\+\\+|CLI|prometheus)/")
set(STARLING_DOOR_FOLDERS "^(node/doors/|node/daemon/|client/|proto/public/|storage/tool/)")

# starling_module(NAME part SOURCES ... DEPENDS module targets... LIBRARIES third-party targets...)
# makes target starling_<NAME>; NAME is the module, or module_part for a part of it (env_posix). Target
# link_test_<NAME> links all of it with nothing but what it declares: a use of anything else fails there.
function(starling_module NAME)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPENDS;LIBRARIES" ${ARGN})
  string(REGEX REPLACE "_.*" "" MODULE ${NAME})
  foreach(DEPENDENCY ${ARG_DEPENDS})
    string(REGEX REPLACE "_.*" "" DEPENDENCY_MODULE ${DEPENDENCY})
    if(NOT DEPENDENCY_MODULE STREQUAL MODULE
       AND NOT DEPENDENCY_MODULE IN_LIST STARLING_ALLOWED_${MODULE})
      message(FATAL_ERROR "module '${NAME}' may not depend on '${DEPENDENCY}' (see cmake/StarlingModule.cmake)")
    endif()
    list(APPEND DEPENDENCY_TARGETS starling_${DEPENDENCY})
  endforeach()
  add_library(starling_${NAME} STATIC ${ARG_SOURCES})
  target_include_directories(starling_${NAME} PUBLIC ${CMAKE_SOURCE_DIR})
  target_link_libraries(starling_${NAME} PUBLIC ${DEPENDENCY_TARGETS} ${ARG_LIBRARIES}
                        PRIVATE starling_warnings)
  if(STARLING_SANITIZE)
    return()  # Once is enough, and instrumented programs are large.
  endif()
  add_executable(link_test_${NAME} ${STARLING_CMAKE_DIRECTORY}/link_test.cc)
  target_link_libraries(link_test_${NAME} PRIVATE $<LINK_LIBRARY:WHOLE_ARCHIVE,starling_${NAME}>
                        starling_warnings)
  set_target_properties(link_test_${NAME} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/link_tests)
endfunction()

# Reads every project #include and fails on one that crosses the table.
function(starling_check_layers)
  foreach(MODULE ${STARLING_MODULES})
    file(GLOB_RECURSE FILES CONFIGURE_DEPENDS
         ${CMAKE_SOURCE_DIR}/${MODULE}/*.h ${CMAKE_SOURCE_DIR}/${MODULE}/*.cc)
    foreach(FILE ${FILES})
      file(RELATIVE_PATH RELATIVE ${CMAKE_SOURCE_DIR} ${FILE})
      file(STRINGS ${FILE} INCLUDES REGEX "^#include [<\"]")
      foreach(LINE ${INCLUDES})
        if(LINE MATCHES "^#include \"([a-z]+)/" AND CMAKE_MATCH_1 IN_LIST STARLING_MODULES)
          if(NOT CMAKE_MATCH_1 STREQUAL MODULE AND NOT CMAKE_MATCH_1 IN_LIST STARLING_ALLOWED_${MODULE})
            message(FATAL_ERROR "${RELATIVE}: '${MODULE}' may not include from '${CMAKE_MATCH_1}': ${LINE}")
          endif()
        endif()
        if(LINE MATCHES "^#include \"tests/")
          message(FATAL_ERROR "${RELATIVE}: a module may not include test code: ${LINE}")
        endif()
        if(LINE MATCHES "^#include <(mutex|shared_mutex)>" AND NOT RELATIVE STREQUAL "env/posix/mutex.h")
          message(FATAL_ERROR "${RELATIVE}: clang checks absl::Mutex and env::Mutex only: ${LINE}")
        endif()
        if(LINE MATCHES "^#include [<\"]${STARLING_DOOR_HEADERS}" AND NOT RELATIVE MATCHES "${STARLING_DOOR_FOLDERS}")
          message(FATAL_ERROR "${RELATIVE}: this header stays in the doors and mains: ${LINE}")
        endif()
      endforeach()
    endforeach()
  endforeach()
endfunction()
