# How every target of the project is compiled.

if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "Build type" FORCE)
endif()
if(PROJECT_IS_TOP_LEVEL)
  set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/bin)
  set(CMAKE_LIBRARY_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/lib)
  set(CMAKE_ARCHIVE_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/lib)
endif()

# Fused multiply-adds that the compiler chooses would make the same formula give other bits in another place.
function(lossatlas_target name)
  set_target_properties(${name} PROPERTIES
    CXX_STANDARD 20
    CXX_STANDARD_REQUIRED ON
    CXX_EXTENSIONS OFF
    CXX_VISIBILITY_PRESET hidden
    VISIBILITY_INLINES_HIDDEN ON)
  target_compile_options(${name} PRIVATE -Wall -Wextra -ffp-contract=off)
  if(LOSSATLAS_WERROR)
    target_compile_options(${name} PRIVATE -Werror)
  endif()
endfunction()

# For what spends its time in the library: half the compile time.
function(lossatlas_build_fast name)
  target_compile_options(${name} PRIVATE $<$<CONFIG:Release>:-O1>)
endfunction()

# The standard headers that most sources include, parsed once for a target: half the compile time of a small source.
function(lossatlas_precompile_standard_headers name)
  set(headers algorithm cmath cstdint filesystem functional memory mutex optional span sstream stop_token string variant
              vector)
  list(TRANSFORM headers REPLACE "(.+)" "$<$<COMPILE_LANGUAGE:CXX>:<\\1$<ANGLE-R>>")
  target_precompile_headers(${name} PRIVATE ${headers})
endfunction()

if(LOSSATLAS_SANITIZE)
  add_compile_options(-fsanitize=${LOSSATLAS_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  add_link_options(-fsanitize=${LOSSATLAS_SANITIZE})
endif()
