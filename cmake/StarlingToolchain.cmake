# Compiler, warnings, sanitizers and the third-party packages every module may name.
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(STARLING_SANITIZE "" CACHE STRING "Comma-separated -fsanitize list; empty for none")
option(STARLING_FUZZ "Build the libFuzzer targets (needs clang)" OFF)
if(STARLING_FUZZ AND NOT STARLING_SANITIZE)
  # What a fuzz target runs must report its coverage, and its errors.
  set(STARLING_SANITIZE "fuzzer-no-link,address,undefined")
endif()
option(STARLING_PLANTED_BUGS "Let the simulator turn on the bugs of base/planted.h" OFF)

# -O3 gives false -Wrestrict warnings with GCC 12, so a release is -O2 with debug info; checks stay on.
set(CMAKE_CXX_FLAGS_RELWITHDEBINFO "-O2 -g1")
set(CMAKE_CXX_FLAGS_DEBUG "-O0 -g1")

# scripts/fast-sim: `record` notes where a program's time goes, beside its objects; `follow` builds by that.
set(STARLING_PROFILE "" CACHE STRING "record, follow or empty")
if(STARLING_PROFILE STREQUAL "record")
  add_compile_options(-fprofile-generate)
  add_link_options(-fprofile-generate)
elseif(STARLING_PROFILE STREQUAL "follow")
  set(CMAKE_INTERPROCEDURAL_OPTIMIZATION ON)
  # What no recorded run has come to has no profile.
  add_compile_options(-fprofile-use -fprofile-partial-training -Wno-missing-profile)
  add_link_options(-fprofile-use)
endif()

find_program(CCACHE ccache)
if(CCACHE)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CCACHE})
endif()
find_program(MOLD mold)
if(MOLD)
  add_link_options(-fuse-ld=mold)
endif()

add_compile_definitions(_GLIBCXX_ASSERTIONS)
if(STARLING_PLANTED_BUGS)
  add_compile_definitions(STARLING_PLANTED_BUGS)
endif()
add_compile_options(-fstack-protector-strong)
add_link_options(-Wl,-z,relro,-z,now)
if(STARLING_SANITIZE)
  add_compile_options(-fsanitize=${STARLING_SANITIZE} -fno-omit-frame-pointer
                      -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${STARLING_SANITIZE})
  if(STARLING_SANITIZE MATCHES "undefined")
    # It looks at an object through a pipe, so a process without descriptors has damaged objects only.
    add_compile_options(-fno-sanitize=vptr)
  endif()
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    # GCC 12 warns falsely in instrumented code (Boost.Beast's parser); the plain builds keep the warning.
    add_compile_options(-Wno-maybe-uninitialized)
  endif()
  if(STARLING_SANITIZE MATCHES "thread")
    # The thread sanitizer does not know fences; Asio's handlers are ordered by its locks without them.
    add_compile_definitions(BOOST_ASIO_DISABLE_FENCED_BLOCK)
  endif()
elseif(CMAKE_BUILD_TYPE STREQUAL "RelWithDebInfo")
  add_compile_definitions(_FORTIFY_SOURCE=2)
endif()

add_library(starling_warnings INTERFACE)
target_compile_options(starling_warnings INTERFACE
  -Wall -Wextra -Wshadow -Wconversion -Wsign-conversion -Wnon-virtual-dtor -Woverloaded-virtual
  -Wimplicit-fallthrough -Wswitch)
if(NOT STARLING_PROFILE)
  # Where code goes by a profile GCC 12 sees values that are never there.
  target_compile_options(starling_warnings INTERFACE -Werror)
endif()
if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
  # GCC 12's library uses what it calls deprecated (stable_sort does); GCC itself reports our own uses,
  # and missing initializers where a target has not turned that off.
  target_compile_options(starling_warnings INTERFACE -Wthread-safety -Wno-deprecated-declarations
                         -Wno-missing-designated-field-initializers)
endif()

find_package(Threads REQUIRED)
find_package(OpenSSL REQUIRED)
# Protobuf has no CMake package of its own in Debian 12, and must be found before gRPC looks for it.
find_package(Protobuf REQUIRED)
find_package(gRPC CONFIG REQUIRED)
find_package(absl CONFIG REQUIRED)
find_package(fmt CONFIG REQUIRED)
find_package(spdlog CONFIG REQUIRED)
find_package(CLI11 CONFIG REQUIRED)
find_package(tomlplusplus CONFIG REQUIRED)
find_package(nlohmann_json CONFIG REQUIRED)
find_package(prometheus-cpp CONFIG REQUIRED)
find_package(Boost 1.74 REQUIRED)
find_package(GTest CONFIG REQUIRED)
find_package(rapidcheck CONFIG REQUIRED)
find_package(benchmark CONFIG REQUIRED)
find_library(LZ4_LIBRARY lz4 REQUIRED)
find_library(ZSTD_LIBRARY zstd REQUIRED)
find_library(XXHASH_LIBRARY xxhash REQUIRED)
