cmake_minimum_required(VERSION 3.25)
# Writes a header with a hash of src/backend/cuda_module.hpp and every header of the project that it reaches, which the
# library and its CUDA module have to agree on: cmake -D ROOT=SOURCES -D OUTPUT=HEADER -P backend_abi.cmake
set(left src/backend/cuda_module.hpp)
set(seen "")
set(text "")
while(left)
  list(POP_FRONT left header)
  if(header IN_LIST seen)
    continue()
  endif()
  list(APPEND seen ${header})
  file(READ ${ROOT}/${header} content)
  file(SHA256 ${ROOT}/${header} hash)
  string(APPEND text "${header} ${hash}\n")
  string(REGEX MATCHALL "#include [<\"][^>\"]+[>\"]" includes "${content}")
  foreach(include ${includes})
    string(REGEX REPLACE "#include [<\"]([^>\"]+)[>\"]" "\\1" name "${include}")
    set(found FALSE)
    foreach(folder include src)
      if(EXISTS ${ROOT}/${folder}/${name} AND NOT IS_DIRECTORY ${ROOT}/${folder}/${name})
        list(APPEND left ${folder}/${name})
        set(found TRUE)
      endif()
    endforeach()
    if(include MATCHES "\"" AND NOT found AND NOT name STREQUAL "backend_abi.hpp")
      message(FATAL_ERROR "${header} includes ${name}, which is neither in include nor in src")
    endif()
  endforeach()
endwhile()
string(SHA256 hash "${text}")
string(SUBSTRING ${hash} 0 16 hash)
file(CONFIGURE OUTPUT ${OUTPUT} @ONLY CONTENT
"// Made by cmake/backend_abi.cmake.
#pragma once

#include <cstdint>

namespace lossatlas {

/// A hash of every header that backend/cuda_module.hpp reaches.
inline constexpr std::uint64_t kBoundaryHash = 0x@hash@;

}  // namespace lossatlas
")
