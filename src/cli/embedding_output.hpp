// What split and embed share: the wide model's file, and the certificate on data.
#pragma once

#include <functional>
#include <string>

#include "common.hpp"
#include "problem.hpp"

namespace lossatlas::cli {

struct EmbeddingOutput {
  ProblemOptions problem;
  DeviceOptions device;
  std::string out;
  bool json = false;

  void add_to(CLI::App& command);
  /// Embeds the model by `make`, certifies it on the data if there are any, writes and prints it.
  void run(const Model& narrow, const std::function<Embedding()>& make, Session& session) const;
};

/// The end of the help of both.
extern const char* const kCertificateHelp;

}  // namespace lossatlas::cli
