#include "embedding_output.hpp"

#include <cstdio>
#include <optional>

#include "outputs.hpp"
#include "report.hpp"

namespace lossatlas::cli {
namespace {

Json certificate_json(const EmbeddingCertificate& certificate) {
  return {{"output_change", certificate.output_change},
          {"loss_change", certificate.loss_change},
          {"gradient_residual", certificate.gradient_residual},
          {"narrow_gradient_l1", certificate.narrow_gradient_l1},
          {"wide_gradient_l1", certificate.wide_gradient_l1}};
}

void print_certificate(const EmbeddingCertificate& certificate) {
  print_line("output    changes by at most %.3e", certificate.output_change);
  print_line("loss      changes by %.3e", certificate.loss_change);
  print_line("gradient  l1 %.6e before, %.6e after; %.3e from its prediction", certificate.narrow_gradient_l1,
             certificate.wide_gradient_l1, certificate.gradient_residual);
}

}  // namespace

const char* const kCertificateHelp =
    "With --data and --loss prints the certificate: the largest change of an output, the change of the loss, the\n"
    "distance of the gradient from what theory predicts of the narrow one, and |gradient|_1 before and after.\n"
    "JSON: network, parameters, source (the neuron that each hidden neuron copies, -1 for a new one), share (its part\n"
    "of the output weights), certificate (null without data), written.\n\n";

void EmbeddingOutput::add_to(CLI::App& command) {
  problem.add_optional_to(command);
  device.add_to(command);
  command.add_option("--out", out, "The wide model, a safetensors file")->required()->type_name("FILE");
  command.add_flag("--json", json, "Print JSON");
}

void EmbeddingOutput::run(const Model& narrow, const std::function<Embedding()>& make, Session& session) const {
  const OutputFile output{"--out", out, ".safetensors"};
  check_output_file(output);
  std::optional<Landscape> landscape;
  if (problem.given()) landscape = problem.landscape(narrow.network, device.select(session), session);
  check_apart({output}, session);
  const Embedding wide = make();
  std::optional<EmbeddingCertificate> certificate;
  if (landscape) certificate = certify(*landscape, narrow.theta, wide, session.control());
  session.check();
  write_model(out, wide.network, wide.theta);
  session.finish();
  if (json) {
    print({{"network", describe(wide.network)},
           {"parameters", wide.network.parameter_count()},
           {"source", wide.source},
           {"share", wide.share},
           {"certificate", certificate ? certificate_json(*certificate) : Json()},
           {"written", out}});
    return;
  }
  print_line("narrow    %s", narrow.network.describe().c_str());
  print_line("wide      %s", wide.network.describe().c_str());
  if (certificate) print_certificate(*certificate);
  print_line("written   %s", out.c_str());
}

}  // namespace lossatlas::cli
