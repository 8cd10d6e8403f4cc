#include "h264/raster_macroblocks.hpp"

#include <algorithm>
#include <cmath>

#include "h264/steps.hpp"

namespace himmel::h264 {

namespace {

// Motion of one cell, [0] past, [1] future.
struct Cell {
  float x[2] = {0, 0}, y[2] = {0, 0}, valid[2] = {0, 0};
};

class Writer {
 public:
  Writer(const Picture& picture, const Grid& grid, float* out)
      : motion_(*picture.motion), grid_(grid), steps_(picture), out_(out),
        size_(size_t(grid.rows()) * size_t(grid.columns())) {}

  Summary write() {
    size_t at = 0;
    for (int row = 0; row < motion_.height_mbs; ++row)
      for (int column = 0; column < motion_.width_mbs; ++column, ++at) {
        const Macroblock& mb = motion_.mbs[at];
        Cell cell;
        if (mb.has(kMbDamaged)) {
          put(at, cell, {});
          continue;
        }
        const int wide = std::min(16, grid_.width - 16 * column), tall = std::min(16, grid_.height - 16 * row);
        const float area = float(wide * tall);
        const bool intra = mb.has(kMbIntra);
        if (!intra) {
          if (mb.shape == k16x16)
            add_whole(mb, at, cell);
          else
            add_pieces(mb, at, wide, tall, cell);
        }
        put(at, cell, {!intra, intra, mb.has(kMbSkip), float(mb.qp), float(mb.bits) / 256 * area});
      }
    for (int i = 0; i < 2; ++i)
      if (blocks_[i] > 0) (i ? summary_.future_distance : summary_.past_distance) = float(length_[i] / blocks_[i]);
    return summary_;
  }

 private:
  struct Kind {
    bool covered = false, intra = false, skip = false;
    float qp = 0, bits = 0;
  };

  void put(size_t at, const Cell& cell, const Kind& kind) {
    const auto set = [&](int plane, float value) { out_[size_t(plane) * size_ + at] = value; };
    set(kPastX, cell.x[0]), set(kPastY, cell.y[0]);
    set(kFutureX, cell.x[1]), set(kFutureY, cell.y[1]);
    set(kPastValid, cell.valid[0]), set(kFutureValid, cell.valid[1]);
    set(kCovered, kind.covered), set(kIntra, kind.intra), set(kSkip, kind.skip);
    set(kQp, kind.qp), set(kBits, kind.bits);
  }

  // The step to a reference that is used for some 4x4 blocks, or null if its distance is unknown.
  const Step* use(const Steps& steps, int list, int ref, int blocks) {
    ++summary_.num_vectors;
    const Step& step = steps.at(list, ref);
    if (step.distance == 0) return nullptr;
    const bool ahead = step.distance > 0;
    blocks_[ahead] += blocks;
    length_[ahead] += double(std::abs(step.distance)) * blocks;
    return &step;
  }

  // One vector a list at most, over the whole cell.
  void add_whole(const Macroblock& mb, size_t at, Cell& cell) {
    const Steps& steps = steps_.of(mb);
    for (int list = 0; list < motion_.lists; ++list) {
      const int ref = motion_.ref[list][4 * at];
      if (ref < 0) continue;
      const Step* step = use(steps, list, ref, 16);
      if (!step) continue;
      const int ahead = step->distance > 0;
      const Mv mv = motion_.mv[list][16 * at];
      cell.x[ahead] += float(mv.x) * step->per_interval;
      cell.y[ahead] += float(mv.y) * step->per_interval;
      // Both lists may point the same way: their mean.
      if (cell.valid[ahead] > 0) cell.x[ahead] /= 2, cell.y[ahead] /= 2;
      cell.valid[ahead] = 1;
    }
  }

  void add_pieces(const Macroblock& mb, size_t at, int wide, int tall, Cell& cell) {
    const Steps& steps = steps_.of(mb);
    for (int list = 0; list < motion_.lists; ++list) {
      const int8_t* refs = motion_.ref[list] + 4 * at;
      const Mv* mvs = motion_.mv[list] + 16 * at;
      for_pieces(mb, [&](int px, int py, int pw, int ph, int block) {
        const int ref = refs[2 * (block >> 3) + (block >> 1 & 1)];
        if (ref < 0) return;
        const Step* step = use(steps, list, ref, pw * ph);
        if (!step) return;
        const int ahead = step->distance > 0;
        const int w = std::min(4 * (px + pw), wide) - 4 * px, h = std::min(4 * (py + ph), tall) - 4 * py;
        if (w <= 0 || h <= 0) return;
        const float area = float(w * h);
        cell.valid[ahead] += area;
        cell.x[ahead] += float(mvs[block].x) * step->per_interval * area;
        cell.y[ahead] += float(mvs[block].y) * step->per_interval * area;
      });
    }
    for (int i = 0; i < 2; ++i) {
      if (cell.valid[i] <= 0) continue;
      cell.x[i] /= cell.valid[i];
      cell.y[i] /= cell.valid[i];
      cell.valid[i] = std::min(cell.valid[i] / float(wide * tall), 1.0F);
    }
  }

  const FrameMotion& motion_;
  const Grid& grid_;
  const AllSteps steps_;
  float* const out_;
  const size_t size_;
  Summary summary_;
  double length_[2] = {0, 0}, blocks_[2] = {0, 0};
};

}  // namespace

Summary write_macroblocks(const Picture& picture, const Grid& grid, float* out) {
  return Writer(picture, grid, out).write();
}

}  // namespace himmel::h264
