#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>

#include <lossatlas/export.hpp>

namespace lossatlas {

/// Base of every exception of the library. Messages read `[function] received X, expected Y; do Z`.
class LOSSATLAS_API Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// An argument outside its domain: wrong shape, non-finite value, unknown name.
class LOSSATLAS_API InvalidArgument : public Error {
 public:
  using Error::Error;
};

/// A Hessian with a non-finite entry, which has no spectrum: the loss or a derivative overflows there, or θ is not
/// finite.
class LOSSATLAS_API NonFiniteHessian : public Error {
 public:
  using Error::Error;
};

/// A file that cannot be read, is malformed, or cannot be written.
class LOSSATLAS_API FileError : public Error {
 public:
  using Error::Error;
};

/// Writing failed though the path was good: the disk or a quota is full, the device failed, or another process took the
/// unfinished file away. The same call may succeed later.
class LOSSATLAS_API WriteError : public FileError {
 public:
  using FileError::FileError;
};

/// A device, its driver or its module is missing, or the device failed.
class LOSSATLAS_API DeviceError : public Error {
 public:
  using Error::Error;
};

/// Memory ran out even for the smallest batch. bytes() is how much was needed, or 0 where that is unknown: for a
/// stream, an event or a library's handle.
class LOSSATLAS_API OutOfMemory : public Error {
 public:
  OutOfMemory(const std::string& message, std::int64_t bytes) : Error(message), bytes_(bytes) {}
  std::int64_t bytes() const noexcept { return bytes_; }

 private:
  std::int64_t bytes_;
};

/// The caller's std::stop_token asked a long call to end.
/// @snippet api/networks.cpp control
class LOSSATLAS_API Interrupted : public Error {
 public:
  using Error::Error;
};

}  // namespace lossatlas
