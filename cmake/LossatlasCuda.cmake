# Finds nvcc, on PATH or in the toolkit's default folder, and chooses the architectures to build for.
if(NOT CMAKE_CUDA_COMPILER)
  find_program(LOSSATLAS_NVCC nvcc HINTS ENV CUDA_HOME ENV CUDA_PATH PATHS /usr/local/cuda/bin)
  if(NOT LOSSATLAS_NVCC)
    message(FATAL_ERROR "LOSSATLAS_CUDA=ON, but no nvcc on PATH or in /usr/local/cuda/bin; install the CUDA toolkit, set "
                        "CMAKE_CUDA_COMPILER, or configure with -DLOSSATLAS_CUDA=OFF")
  endif()
  set(CMAKE_CUDA_COMPILER ${LOSSATLAS_NVCC})
endif()

# 'native' fails without a GPU, so look for one; without it Ampere and Hopper.
if(NOT DEFINED CMAKE_CUDA_ARCHITECTURES AND NOT DEFINED ENV{CUDAARCHS})
  execute_process(COMMAND nvidia-smi --query-gpu=compute_cap --format=csv,noheader OUTPUT_VARIABLE capability
                  RESULT_VARIABLE no_gpu ERROR_QUIET OUTPUT_STRIP_TRAILING_WHITESPACE)
  if(NOT no_gpu AND capability MATCHES "^([0-9]+)\\.([0-9])")
    set(CMAKE_CUDA_ARCHITECTURES ${CMAKE_MATCH_1}${CMAKE_MATCH_2}-real)
  else()
    set(CMAKE_CUDA_ARCHITECTURES 80-real 90-real)
  endif()
endif()
enable_language(CUDA)
if(NOT CMAKE_CUDA20_STANDARD_COMPILE_OPTION)  # CMake 3.25 knows C++20 of no nvcc
  set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION "-std=c++20")
  set(CMAKE_CUDA20_EXTENSION_COMPILE_OPTION "-std=c++20")
  list(APPEND CMAKE_CUDA_COMPILE_FEATURES cuda_std_20)
endif()
find_package(CUDAToolkit 12.6.77 REQUIRED)  # 12.6 Update 2, the first with cusolverDnXsyevBatched
message(STATUS "CUDA module: ${CMAKE_CUDA_COMPILER} ${CMAKE_CUDA_COMPILER_VERSION} for ${CMAKE_CUDA_ARCHITECTURES}")
