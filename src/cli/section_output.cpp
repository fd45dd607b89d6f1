#include "section_output.hpp"

#include <utility>

namespace lossatlas::cli {

CLI::Option* SectionOutputs::add_to(CLI::App& command) {
  auto* option = command.add_option("--out", out, "The losses, an .npy array (n1, ..., nz, heads)")->type_name("FILE");
  command.add_option("--png", png, "A picture of the surface, z up to 3")->type_name("FILE");
  command.add_option("--vti", vti, "The surface for ParaView, z up to 3")->type_name("FILE");
  return option;
}

std::vector<OutputFile> SectionOutputs::files(std::string_view ending) const {
  std::vector<OutputFile> list;
  if (!out.empty()) list.push_back({"--out", out, ending});
  if (!png.empty()) list.push_back({"--png", png, ".png"});
  if (!vti.empty()) list.push_back({"--vti", vti, ".vti"});
  return list;
}

void SectionOutputs::check_pictures(const Grid& grid, std::int64_t heads) const {
  constexpr std::int64_t kMostPixels = 16384;  // of a picture's side
  for (const auto& [option, file] : {std::pair{"--png", &png}, {"--vti", &vti}}) {
    if (!file->empty() && grid.rank() > 3) {
      throw InvalidArgument(std::string(option) + ": received a section of " + std::to_string(grid.rank()) +
                            " directions, expected at most 3 for a picture or ParaView; drop the option");
    }
  }
  for (const Axis& axis : grid.axes()) {
    if (png.empty() || grid.rank() == 1 || axis.points <= kMostPixels) continue;
    throw InvalidArgument("--png: received an axis of " + std::to_string(axis.points) + " points, expected at most " +
                          std::to_string(kMostPixels) + " for a picture; drop the option or use a smaller --grid");
  }
  if (!vti.empty()) check_disk(grid, heads + 1, followed(vti).parent_path());  // the sum too
  for (const Axis& axis : grid.axes()) {
    if (vti.empty() || axis.points == 1 || axis.lo != axis.hi) continue;
    throw InvalidArgument("--vti: received a --range that is empty with several points, expected lo and hi to differ");
  }
}

void SectionOutputs::write_pictures(const Grid& grid, const SectionFileReport& report, const std::string& title) const {
  if (!vti.empty()) write_vti(vti, out, grid, report.heads);
  if (!png.empty()) write_png(png, out, grid, report.heads, {.title = title});
}

}  // namespace lossatlas::cli
