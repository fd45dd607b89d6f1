// Journals of unfinished sections, which are resumed: as they are, and as a header's JSON, a line end and a byte for
// each tile that they call finished.
#include "run_file.hpp"
#include "section_file/journal.hpp"

using namespace lossatlas;
using namespace lossatlas::testing;

namespace {

namespace fs = std::filesystem;

/// A section that a run left unfinished: what it wrote, with some losses damaged, and the file of an undisturbed run.
class UnfinishedSection {
 public:
  UnfinishedSection(const fs::path& folder, std::optional<Shard> shard)
      : out_(folder / (shard ? "shard" : "losses.npy")), shard_(shard) {
    stream_section(out_, source_, {.shard = shard_, .tile_points = kTile});
    undisturbed_ = bytes_of(out_);
    fs::remove(out_);
    partial_ = undisturbed_;
    const std::size_t middle = partial_.size() / 2;
    partial_.replace(middle, kDamaged, kDamaged, '\xff');
  }

  fs::path journal() const { return fs::path(out_) += ".journal"; }

  /// Resumes with the journal that is there: to the bytes of the undisturbed run, or it is refused.
  void resume() const {
    const fs::path partial = fs::path(out_) += ".partial";
    std::ofstream(partial, std::ios::binary) << partial_;
    const SectionFileOptions options{.unfinished = Unfinished::resume, .shard = shard_, .tile_points = 0};
    const auto report = accepted([&] { return stream_section(out_, source_, options); });
    if (report) expect(fs::file_size(out_) > 0 && !fs::exists(partial), "a resumed section is complete");
    if (report && report->tile_points == kTile) expect(bytes_of(out_) == undisturbed_, "resuming changes no bit");
    if (report && !shard_) expect(bytes_of(out_) == undisturbed_, "an array depends on no tiles");
    expect(report || bytes_of(partial) == partial_, "what is refused is left alone");
    for (const fs::path& file : {out_, partial, journal()}) fs::remove(file);
  }

  /// The journal that `header` and the finished tiles make, their checksums right before the damage.
  void write_journal(const RunHeader& header, std::string_view tiles) const {
    Journal made = Journal::create(journal(), "journal_fuzz", header);
    const TileLayout layout =
        shard_layout(source_.grid.size(), source_.heads, shard_.value_or(Shard{}), header.tile_points);
    for (const char byte : tiles) {
      const auto tile = static_cast<unsigned char>(byte);
      const bool known = tile < layout.tiles();
      const std::vector<double> losses =
          formula_losses(layout.tile_first(tile), known ? layout.tile_size(tile) : 0, source_.heads);
      made.add(tile, Checksum().add(std::span<const double>(losses)).value());
    }
  }

 private:
  static constexpr std::int64_t kTile = 2;
  static constexpr std::size_t kDamaged = 8;

  fs::path out_;
  std::optional<Shard> shard_;
  TileSource source_ = formula_source();
  std::string undisturbed_, partial_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const TemporaryFolder folder;
  static const UnfinishedSection whole(folder.path(), std::nullopt);
  static const UnfinishedSection half(folder.path(), Shard{1, 2});
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const auto [json, tiles] = recipe(bytes);
  const std::optional<RunHeader> header = run_header(json);
  for (const UnfinishedSection* section : {&whole, &half}) {
    std::ofstream(section->journal(), std::ios::binary) << bytes;
    section->resume();
    if (!header) continue;
    section->write_journal(*header, tiles);
    section->resume();
  }
  return 0;
}
