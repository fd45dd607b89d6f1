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
  /// Embeds the model by `make`, certifies it if there are data, then writes and prints it.
  void run(const Model& narrow, const std::function<Embedding()>& make, Session& session) const;
};

/// The end of both help texts.
extern const char* const kCertificateHelp;

}  // namespace lossatlas::cli
