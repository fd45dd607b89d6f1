// Models in safetensors files: as they are, and as a header's JSON, a line end and the data.
#include <lossatlas/model_file.hpp>

#include "fuzzing.hpp"

using namespace lossatlas;
using namespace lossatlas::testing;

namespace {

void try_file(const std::filesystem::path& file, const std::filesystem::path& copy) {
  static const Network foreign = mlp({2, 2, 1}, Activation::tanh);
  const auto own = accepted([&] { return read_model(file); });
  const auto given = accepted([&] { return read_model(file, foreign); });
  const auto told = accepted([&] { return read_state_dict(file); });
  const auto named = accepted([&] { return read_state_dict(file, {.activations = {Activation::tanh}}); });
  for (const auto& model : {own, given, told, named}) {
    if (!model) continue;
    expect(std::ssize(model->theta) == model->network.parameter_count(), "a model has the parameters of its network");
    expect(all_finite(model->theta), "parameters are finite");
    write_model(copy, model->network, model->theta);
    const Model again = read_model(copy);
    expect(again.network == model->network && same(again.theta, model->theta), "a model is read as it was written");
  }
  if (given) expect(given->network == foreign, "a model has the architecture that was given");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const TemporaryFolder folder;
  static const RewrittenFile tried(folder / "tried.safetensors");
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const auto [header, values] = recipe(bytes);
  for (const std::string& file : {std::string(bytes), safetensors(header, values)}) {
    tried.store(file);
    try_file(tried.path(), folder / "copy.safetensors");
  }
  return 0;
}
