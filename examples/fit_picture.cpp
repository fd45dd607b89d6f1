// Puts a picture into the loss surface of a network and draws the surface.
//   fit_picture [IMAGES LABELS [PICTURE.png]]      (IDX files; without them built-in digits and the demo picture)
#include <cstdio>
#include <exception>

#include <lossatlas/lossatlas.hpp>

using namespace lossatlas;

int main(int argc, char** argv) try {
  const Dataset train = argc > 2 ? read_idx(argv[1], argv[2]) : glyphs(2000);
  const Pattern picture = argc > 3 ? read_picture(argv[3]) : demo_picture();
  const PatternFit fit = fit_pattern(picture, train, {.hidden = {64, 2048}, .loss = Loss::cross_entropy});

  const Landscape landscape(fit.network, train, Loss::cross_entropy, Device::best());
  const Surface surface = landscape.evaluate(fit.section, Grid::unit({256, 256}));
  write_png("surface.png", surface, {.offset = fit.error.offset});

  std::printf("%s\nPSNR %.2f dB, written to surface.png\n", fit.network.describe().c_str(), fit.error.psnr_db);
} catch (const std::exception& error) {
  std::fprintf(stderr, "fit_picture: %s\n", error.what());
  return 1;
}
