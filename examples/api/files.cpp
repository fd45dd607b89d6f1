// Data sets, models and losses in files, and figures.
#include <lossatlas/lossatlas.hpp>

#include "check.hpp"

using namespace lossatlas;

namespace {

void arrays() {
  const TemporaryFolder folder;
  //! [npy]
  const std::int64_t shape[] = {2, 3};
  write_npy(folder / "a.npy", shape, std::vector<double>{1, 2, 3, 4, 5, 6});
  const Array array = read_npy(folder / "a.npy");
  check(array.shape[1] == 3 && array.values[1 * 3 + 0] == 4);  // row 1, column 0
  //! [npy]
}

void tables() {
  const TemporaryFolder folder;
  //! [csv]
  write_text(folder / "flowers.csv", "kind,length,width\nrose,4,1\niris,5,2\niris,6,3\n");
  const Dataset flowers = read_csv(folder / "flowers.csv", {.target = "kind", .classes = {"rose", "iris"}});
  check(flowers.features() == 2 && flowers.labels()[1] == 1 && flowers.class_names()[1] == "iris");

  // The same in one line, such as an argument of a program: two samples of it, by themselves and for such a model.
  const std::string spec = "csv:" + (folder / "flowers.csv").string() + ",target=kind@1:3";
  check(read_dataset(spec).labels()[0] == 0);           // numbered by its own texts: iris, rose
  check(read_dataset(spec, flowers).labels()[0] == 1);  // numbered as in `flowers`
  //! [csv]
}

void targets_in_arrays() {
  const TemporaryFolder folder;
  //! [npy data]
  const std::int64_t inputs[] = {3, 2, 2}, targets[] = {3};  // three pictures of 2 x 2
  write_npy(folder / "x.npy", inputs, std::vector<double>(12, 0.5));
  write_npy(folder / "y.npy", targets, std::vector<double>{0, 1, 1});
  const Dataset data = read_npy_dataset(folder / "x.npy", folder / "y.npy");
  check(data.features() == 4 && !data.has_labels());  // write_npy() writes floats: real targets
  //! [npy data]
}

void images() {
  const TemporaryFolder folder;
  const std::string images("\0\0\x08\x03\0\0\0\2\0\0\0\1\0\0\0\2\0\xff\xff\0", 20);
  const std::string labels("\0\0\x08\x01\0\0\0\2\1\0", 10);
  write_text(folder / "images", images);
  write_text(folder / "labels", labels);
  //! [idx]
  const Dataset data = read_idx(folder / "images", folder / "labels");  // two images of 1 x 2 bytes; gzip or not
  check(data.features() == 2 && data.input(0)[1] == 1 && data.labels()[0] == 1);
  //! [idx]
}

void models() {
  const TemporaryFolder folder;
  //! [model]
  const Network network = mlp({2, 8, 3}, Activation::relu);
  const std::vector<double> theta = random_parameters(network, {.seed = 1});
  write_model(folder / "model.safetensors", network, theta);
  const Model model = read_model(folder / "model.safetensors");
  check(model.network == network && model.theta == theta);
  //! [model]

  const std::string header = R"({"fc1.weight":{"dtype":"F32","shape":[1,2],"data_offsets":[0,8]},)"
                             R"("fc2.weight":{"dtype":"F32","shape":[1,1],"data_offsets":[8,12]}})";
  const std::string length{static_cast<char>(header.size()), 0, 0, 0, 0, 0, 0, 0};
  const std::string weights("\0\0\x80\x3f\0\0\0\x40\0\0\0\x40", 12);
  write_text(folder / "torch.safetensors", length + header + weights);
  //! [other model]
  // The shapes of fc1.weight and fc2.weight tell the widths, nothing the activation between.
  const Model other = read_state_dict(folder / "torch.safetensors", {.activations = {Activation::tanh}});
  check(other.network == mlp({2, 1, 1}, Activation::tanh, {.bias = Bias::none}));
  check(other.theta == std::vector{1.0, 2.0, 2.0});
  //! [other model]

  //! [opened files]
  const OpenedFiles opened;  // on this thread, from here on
  read_model(folder / "model.safetensors");
  check(opened.find(folder / "model.safetensors").has_value());  // don't write there
  check(!opened.find(folder / "other.safetensors"));
  //! [opened files]

  //! [paths]
  std::filesystem::create_symlink("model.safetensors", folder / "latest");
  check(followed(folder / "latest") == folder / "model.safetensors");  // where write_model(latest) would write
  check(one_line("two\nlines") == "two\\x0alines");                    // fit for a message
  //! [paths]
}

void surfaces() {
  const TemporaryFolder folder;
  //! [figures]
  const Network network = mlp({1, 4, 3}, Activation::tanh, {.heads = 3});
  const std::vector<double> theta = random_parameters(network, {.seed = 1});
  const Landscape landscape(network, tanh3(), Loss::mean_squared_error);
  const Section plane = make_section(network, theta, random_directions(network, theta));
  const Grid grid = Grid::box(-1, 1, {40, 60});  // 40 rows, 60 columns
  const Surface surface = landscape.evaluate(plane, grid);

  // The sum of the heads, with a colour bar from 0 to 30, and the three heads as red, green and blue, black at loss 2.
  const RenderOptions sum{.title = "Sum", .colouring = Colouring::viridis, .range = Range{0, 30}, .scale = 4};
  const Image heads = render(surface, {.offset = {2, 2, 2}, .scale = 4});
  write_png(folder / "sum.png", surface, sum);
  write_png(folder / "heads.png", heads);
  write_vti(folder / "plane.vti", surface);  // for ParaView

  // The same files from an .npy file, which may be larger than memory.
  write_section(folder / "plane.npy", landscape, plane, grid);
  write_png(folder / "same.png", folder / "plane.npy", grid, network.heads(), sum);
  write_vti(folder / "same.vti", folder / "plane.npy", grid, network.heads());
  const Pattern drawn = read_picture(folder / "sum.png"), again = read_picture(folder / "same.png");
  check(std::ranges::equal(drawn.values(), again.values()) && drawn.shape()[1] > heads.width);
  //! [figures]
}

void plots() {
  const TemporaryFolder folder;
  //! [plot]
  const std::vector<Curve> curves = {{"x", {0, 1, 2}, {0, 1, 2}}, {"x squared", {0, 1, 2}, {0, 1, 4}}};
  const Image lines = plot(curves, {.title = "Two curves", .x_label = "x", .width = 300, .height = 200});

  const std::vector<Spectrum> spectra = {symmetric_spectrum({2, 0, 0, -1}, 2), symmetric_spectrum({1, 0, 0, 3}, 2)};
  const std::vector<std::string> titles = {"indefinite", "definite"};
  const Image pictures[] = {lines, plot_spectrum(spectra[0]), plot_spectra(spectra, titles)};
  const Image row = side_by_side(pictures);
  write_png(folder / "row.png", row);
  check(lines.width == 300 && row.width > 300 &&
        row.rgb.size() == static_cast<std::size_t>(3 * row.width * row.height));
  //! [plot]
}

}  // namespace

int main() { return run({arrays, tables, targets_in_arrays, images, models, surfaces, plots}); }
