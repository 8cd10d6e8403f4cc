#include "raster.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>

namespace himmel {

namespace {

// Where a reference lies in time, seen from a field or frame of the picture.
struct Step {
  float distance = 0;   // frame intervals, positive for the future; 0: unknown
  float per_interval = 0;  // factor from a vector in quarter samples to motion forward in time per frame interval
  float lines = 0;      // quarter lines of the frame between lines of the same number in fields of unlike parity
};

// Distances to all references of a slice: [list][refIdx], for the frame or for a field of the given parity.
class Steps {
 public:
  Steps(const Picture& picture, const Slice& slice, int parity, bool field_of_frame) : parity_(parity) {
    for (size_t list = 0; list < 2; ++list)
      for (int i = 0; i < slice.refs.count[list] << field_of_frame; ++i) {
        const RefEntry& entry = slice.refs.list[list][size_t(field_of_frame ? i >> 1 : i)];
        int other = entry.structure == kBottom;
        if (field_of_frame) other = (i & 1) ^ parity;
        steps_[list][size_t(i)] = measure(picture, entry, field_of_frame || entry.structure != kFrame ? other : -1);
      }
  }
  const Step& at(int list, int ref) const { return steps_[size_t(list)][size_t(ref) & 63]; }

 private:
  Step measure(const Picture& picture, const RefEntry& entry, int other) const {
    Step step;
    double distance = entry.position - picture.position;
    if (std::isnan(distance)) {
      // Order counts mostly go up by two a frame; without positions that is the best guess.
      if (entry.frame == -1) return step;
      distance = 0.5 * (double(entry.poc) - (parity_ < 0 ? picture.poc : picture.poc_field[parity_]));
    } else if (other >= 0) {
      // The later field of a frame is half an interval behind the earlier one.
      distance += lag(entry.poc_field, other) - lag(picture.poc_field, parity_);
      step.lines = float(4 * (other - parity_));
    }
    if (distance == 0) return step;
    step.distance = float(distance);
    step.per_interval = float(0.25 / distance);
    return step;
  }
  static double lag(const int32_t poc[2], int field) { return poc[field] > poc[1 - field] ? 0.5 : 0.0; }

  int parity_;
  std::array<std::array<Step, 64>, 2> steps_{};
};

// Sums over cells while blocks are spread.
class Spreader {
 public:
  Spreader(const Grid& grid, float* out)
      : grid_(grid), out_(out), size_(size_t(grid.rows()) * size_t(grid.columns())), columns_(grid.columns()),
        shift_(std::countr_zero(unsigned(grid.cell))) {}

  float* plane(int which) { return out_ + size_t(which) * size_; }
  size_t size() const { return size_; }

  // The cell that a rectangle lies in as a whole, or -1: most macroblocks do, and then their pieces need no clipping.
  [[gnu::always_inline]] ptrdiff_t home(int x, int y, int w, int h) const {
    const int x0 = x - grid_.left, y0 = y - grid_.top;
    if (x0 < 0 || y0 < 0 || x0 + w > grid_.width || y0 + h > grid_.height) return -1;
    const int column = (x0 + grid_.lead_x) >> shift_, row = (y0 + grid_.lead_y) >> shift_;
    if ((x0 + w - 1 + grid_.lead_x) >> shift_ != column || (y0 + h - 1 + grid_.lead_y) >> shift_ != row) return -1;
    return row * columns_ + column;
  }

  // Call `add(cell, area)` for every cell that a rectangle of the coded frame overlaps.
  template <class Add>
  [[gnu::always_inline]] void over(int x, int y, int w, int h, Add add) const {
    const int dx = grid_.lead_x - grid_.left, dy = grid_.lead_y - grid_.top;
    const int x0 = std::max(x + dx, grid_.lead_x), y0 = std::max(y + dy, grid_.lead_y);
    const int x1 = std::min(x + w + dx, grid_.lead_x + grid_.width), y1 = std::min(y + h + dy, grid_.lead_y + grid_.height);
    if (x0 >= x1 || y0 >= y1) return;
    const int c0 = x0 >> shift_, c1 = (x1 - 1) >> shift_, r0 = y0 >> shift_, r1 = (y1 - 1) >> shift_;
    if (c0 == c1 && r0 == r1) {
      add(size_t(r0 * columns_ + c0), float((x1 - x0) * (y1 - y0)));
      return;
    }
    for (int row = r0; row <= r1; ++row) {
      const int tall = std::min(y1, (row + 1) << shift_) - std::max(y0, row << shift_);
      for (int column = c0; column <= c1; ++column) {
        const int wide = std::min(x1, (column + 1) << shift_) - std::max(x0, column << shift_);
        add(size_t(row * columns_ + column), float(tall * wide));
      }
    }
  }

 private:
  const Grid& grid_;
  float* out_;
  size_t size_;
  int columns_;
  int shift_;
};

// Calls `each(x, y, w, h, block)` for pieces of an inter macroblock with one vector per list: x, y, w, h in 4x4 blocks, `block` the
// 4x4 block that tells.
template <class Each>
void for_pieces(const Macroblock& mb, Each each) {
  switch (mb.shape) {
    case k16x16: each(0, 0, 4, 4, 0); return;
    case k16x8: each(0, 0, 4, 2, 0), each(0, 2, 4, 2, 8); return;
    case k8x16: each(0, 0, 2, 4, 0), each(2, 0, 2, 4, 2); return;
    default: break;
  }
  for (int q = 0; q < 4; ++q) {
    const int x = 2 * (q & 1), y = q & 2, block = 4 * y + x;
    switch (mb.sub[q]) {
      case k8x8: each(x, y, 2, 2, block); break;
      case k8x4: each(x, y, 2, 1, block), each(x, y + 1, 2, 1, block + 4); break;
      case k4x8: each(x, y, 1, 2, block), each(x + 1, y, 1, 2, block + 1); break;
      default:
        for (int b = 0; b < 4; ++b) each(x + (b & 1), y + (b >> 1), 1, 1, block + (b & 1) + 4 * (b >> 1));
    }
  }
}

// Place of a macroblock's lines in the frame: first line, and whether every second one is its own.
struct Lines { int top; bool alternate; };

Lines lines_of(const Macroblock& mb, int row) {
  if (!mb.has(kMbField)) return {16 * row, false};
  return {32 * (row / 2) + (row & 1), true};
}

// The steps of every slice, by parity where macroblocks may be of either.
class AllSteps {
 public:
  explicit AllSteps(const Picture& picture) {
    for (const Slice& slice : *picture.slices) {
      if (slice.header.structure != kFrame) {
        steps_.push_back({Steps(picture, slice, slice.header.structure == kBottom, false)});
        continue;
      }
      steps_.push_back({Steps(picture, slice, -1, false)});
      if (!slice.header.mbaff) continue;
      for (int parity = 0; parity < 2; ++parity) steps_.back().push_back(Steps(picture, slice, parity, true));
    }
  }
  const Steps& of(const Macroblock& mb) const {
    const std::vector<Steps>& all = steps_[mb.slice];
    return all.size() == 1 || !mb.has(kMbField) ? all[0] : all[mb.has(kMbBottom) ? 2 : 1];
  }

 private:
  std::vector<std::vector<Steps>> steps_;
};

void add_motion(const Picture& picture, Spreader& spread, Summary& summary) {
  const FrameMotion& motion = *picture.motion;
  const AllSteps all(picture);
  float* const past_x = spread.plane(kPastX);
  float* const past_y = spread.plane(kPastY);
  float* const past_valid = spread.plane(kPastValid);
  float* const covered = spread.plane(kCovered);
  float* const intra = spread.plane(kIntra);
  float* const skip = spread.plane(kSkip);
  float* const qp = spread.plane(kQp);
  float* const bits = spread.plane(kBits);
  const ptrdiff_t future = ptrdiff_t(spread.size());  // from a plane of the past to that of the future
  double length[2] = {0, 0}, area_of[2] = {0, 0};
  size_t at = 0;
  for (int row = 0; row < motion.height_mbs; ++row)
    for (int column = 0; column < motion.width_mbs; ++column, ++at) {
      const Macroblock& mb = motion.mbs[at];
      if (mb.has(kMbDamaged)) continue;
      const Lines lines = lines_of(mb, row);
      const float share = lines.alternate ? 0.5F : 1.0F;
      const int y = lines.alternate ? 32 * (row / 2) : lines.top, h = lines.alternate ? 32 : 16;
      float* const kind = mb.has(kMbIntra) ? intra : covered;
      const bool skipped = mb.has(kMbSkip);
      const float level = float(mb.qp), size = float(mb.bits) / 256;
      const auto add_kind = [&](size_t cell, float area) {
        area *= share;
        kind[cell] += area;
        if (skipped) skip[cell] += area;
        qp[cell] += level * area;
        bits[cell] += size * area;
      };
      const ptrdiff_t home = spread.home(16 * column, y, 16, h);
      if (home >= 0)
        add_kind(size_t(home), float(16 * h));
      else
        spread.over(16 * column, y, 16, h, add_kind);
      if (mb.has(kMbIntra)) continue;
      const Steps& steps = all.of(mb);
      for (int list = 0; list < motion.lists; ++list) {
        const int8_t* refs = motion.ref[list].get() + 4 * at;
        const Mv* mvs = motion.mv[list].get() + 16 * at;
        for_pieces(mb, [&](int px, int py, int pw, int ph, int block) {
          const int ref = refs[2 * (block >> 3) + (block >> 1 & 1)];
          if (ref < 0) return;
          ++summary.num_vectors;
          const Step& step = steps.at(list, ref);
          if (step.distance == 0) return;
          const bool ahead = step.distance > 0;
          const float vx = float(mvs[block].x) * step.per_interval;
          const float vy = (lines.alternate ? 2.0F * float(mvs[block].y) + step.lines : float(mvs[block].y)) * step.per_interval;
          float* const to_x = past_x + (ahead ? 2 * future : 0);
          float* const to_y = past_y + (ahead ? 2 * future : 0);
          float* const valid = past_valid + (ahead ? future : 0);
          const int top = lines.alternate ? 8 * py : 4 * py, tall = lines.alternate ? 8 * ph : 4 * ph;
          const auto add_vector = [&](size_t cell, float area) {
            area *= share;
            valid[cell] += area;
            to_x[cell] += vx * area;
            to_y[cell] += vy * area;
          };
          if (home >= 0)
            add_vector(size_t(home), float(4 * pw * tall));
          else
            spread.over(16 * column + 4 * px, y + top, 4 * pw, tall, add_vector);
          // Over the whole frame, so that the mean does not depend on the window.
          const double blocks = pw * ph;
          area_of[ahead] += blocks;
          length[ahead] += std::abs(step.distance) * blocks;
        });
      }
    }
  if (area_of[0] > 0) summary.past_distance = float(length[0] / area_of[0]);
  if (area_of[1] > 0) summary.future_distance = float(length[1] / area_of[1]);
}

void add_residual(const Picture& picture, Spreader& spread) {
  for (const ResidualBlock& block : picture.residual) {
    const int sx = block.plane ? picture.chroma_shift_x() : 0, sy = block.plane ? picture.chroma_shift_y() : 0;
    const int tall = block.field ? 2 * block.size : block.size;
    const int x = block.x << sx, y = (block.field ? block.y & ~1 : int(block.y)) << sy, w = block.size << sx, h = tall << sy;
    const float whole = float(w * h);
    float* const energy = spread.plane(block.plane ? kChromaRms : kLumaRms);
    float* const mean = spread.plane(kLumaMean);
    spread.over(x, y, w, h, [&](size_t cell, float area) {
      energy[cell] += block.energy * (area / whole);
      if (!block.plane) mean[cell] += block.sum * (area / whole);
    });
  }
}

}  // namespace

Summary rasterise(const Picture& picture, const Grid& grid, bool residual, float* out) {
  Spreader spread(grid, out);
  std::fill_n(out, size_t(kMapPlanes) * spread.size(), 0.0F);
  Summary summary;
  add_motion(picture, spread, summary);
  if (residual) add_residual(picture, spread);

  const float luma = float(1 << (picture.sps->bit_depth_luma - 8));
  const float chroma = float(1 << (picture.sps->bit_depth_chroma - 8));
  const float chroma_samples = 2.0F / float(1 << (picture.chroma_shift_x() + picture.chroma_shift_y()));
  size_t cell = 0;
  for (int row = 0; row < grid.rows(); ++row)
    for (int column = 0; column < grid.columns(); ++column, ++cell) {
      const auto length = [&](int at, int lead, int size) {
        return std::min((at + 1) * grid.cell, lead + size) - std::max(at * grid.cell, lead);
      };
      const float area = float(length(row, grid.lead_y, grid.height) * length(column, grid.lead_x, grid.width));
      const auto at = [&](int plane) -> float& { return spread.plane(plane)[cell]; };
      for (const auto& [x, valid] : {std::pair{kPastX, kPastValid}, {kFutureX, kFutureValid}}) {
        if (at(valid) <= 0) continue;
        at(x) /= at(valid);
        at(x + 1) /= at(valid);
      }
      const float covered = at(kCovered), parsed = covered + at(kIntra);
      if (covered > 0) {
        at(kLumaRms) = std::sqrt(at(kLumaRms) / covered) / luma;
        at(kLumaMean) = at(kLumaMean) / covered / luma;
        at(kChromaRms) = std::sqrt(at(kChromaRms) / (covered * chroma_samples)) / chroma;
      }
      if (parsed > 0) at(kQp) /= parsed;
      for (int plane : {kPastValid, kFutureValid, kCovered, kIntra, kSkip}) at(plane) = std::min(at(plane) / area, 1.0F);
    }
  return summary;
}

std::vector<VectorRecord> vectors(const Picture& picture) {
  const FrameMotion& motion = *picture.motion;
  const AllSteps all(picture);
  std::vector<VectorRecord> records;
  size_t at = 0;
  for (int row = 0; row < motion.height_mbs; ++row)
    for (int column = 0; column < motion.width_mbs; ++column, ++at) {
      const Macroblock& mb = motion.mbs[at];
      if (mb.has(kMbDamaged | kMbIntra)) continue;
      const Lines lines = lines_of(mb, row);
      const Slice& slice = (*picture.slices)[mb.slice];
      const bool field_of_frame = slice.header.mbaff && mb.has(kMbField);
      const uint8_t own = mb.has(kMbBottom) ? kBottom : kTop;
      const Steps& steps = all.of(mb);
      for_pieces(mb, [&](int px, int py, int pw, int ph, int block) {
        for (int list = 0; list < motion.lists; ++list) {
          const int ref = motion.ref[list][4 * at + size_t(2 * (block >> 3) + (block >> 1 & 1))];
          if (ref < 0) continue;
          const RefEntry& entry = slice.refs.list[size_t(list)][size_t(field_of_frame ? ref >> 1 : ref) & 31];
          const Mv mv = motion.mv[list][16 * at + size_t(block)];
          const uint8_t structure = !field_of_frame ? uint8_t(entry.structure) : ref & 1 ? uint8_t(3 - own) : own;
          const int32_t poc = structure == kFrame ? entry.poc : entry.poc_field[structure == kBottom];
          records.push_back({int16_t(16 * column + 4 * px), int16_t(lines.top + (lines.alternate ? 8 : 4) * py),
                             uint8_t(4 * pw), uint8_t(4 * ph), mv.x, mv.y, uint8_t(list), uint8_t(ref),
                             uint8_t(lines.alternate ? own : 0), structure, 0, int32_t(at), 0, entry.number, poc,
                             std::abs(steps.at(list, ref).distance)});
        }
      });
    }
  return records;
}

}  // namespace himmel
