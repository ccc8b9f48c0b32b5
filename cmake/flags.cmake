# Compiler flags, in one place: what the library needs, and the warnings everything here is clean under.

if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "Release, RelWithDebInfo or Debug" FORCE)
endif()
set(CMAKE_C_STANDARD 11)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
# The optimised build with debug information is the release build with debug information.
string(REPLACE "-O2" "-O3" CMAKE_C_FLAGS_RELWITHDEBINFO "${CMAKE_C_FLAGS_RELWITHDEBINFO}")

set(TRI_WARNINGS -Wall -Wextra -Wshadow -Wconversion)
if(TRI_WERROR)
  list(APPEND TRI_WARNINGS -Werror)
endif()

# The sanitizers watch the whole program: the library, the tests and the examples alike.
if(TRI_SANITIZE STREQUAL "address")
  set(sanitizer_flags -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer)
elseif(TRI_SANITIZE STREQUAL "thread")
  set(sanitizer_flags -fsanitize=thread -fno-omit-frame-pointer)
elseif(TRI_SANITIZE)
  message(FATAL_ERROR "TRI_SANITIZE=${TRI_SANITIZE}: use address, thread, or nothing")
endif()
if(TRI_SANITIZE)
  add_compile_options(${sanitizer_flags})
  add_link_options(${sanitizer_flags})
endif()

# Warnings for a program of the project; the library's own flags are below.
function(tri_program_flags target)
  target_compile_options(${target} PRIVATE $<$<COMPILE_LANGUAGE:C>:${TRI_WARNINGS}>)
endfunction()

# -fexceptions: a cancelled thread unwinds through our wrappers of blocking calls. initial-exec: thread-local variables are
# reached without a call, also from a signal handler. --noexecstack: the assembly needs no executable stack.
function(tri_library_flags target)
  tri_program_flags(${target})
  set_target_properties(${target} PROPERTIES POSITION_INDEPENDENT_CODE ON C_VISIBILITY_PRESET hidden)
  target_include_directories(${target} PRIVATE ${PROJECT_SOURCE_DIR}/include ${PROJECT_SOURCE_DIR}/src)
  target_compile_definitions(${target} PRIVATE _GNU_SOURCE TRI_BUILDING $<$<BOOL:${TRI_ASSERTIONS}>:TRI_ASSERTIONS>)
  target_compile_options(
    ${target} PRIVATE $<$<COMPILE_LANGUAGE:C>:-fno-semantic-interposition;-fexceptions;-ftls-model=initial-exec>
                      $<$<COMPILE_LANGUAGE:ASM>:-Wa,--noexecstack>)
endfunction()
