#include "raster.hpp"

#include <algorithm>
#include <bit>
#include <cmath>

#include "raster_steps.hpp"

namespace himmel {

namespace {

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
        const int8_t* refs = motion.ref[list] + 4 * at;
        const Mv* mvs = motion.mv[list] + 16 * at;
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

// Cells that are the macroblocks of a frame without field macroblocks: each is written once.
bool cells_are_macroblocks(const Picture& picture, const Grid& grid) {
  return grid.cell == 16 && (grid.left | grid.top | grid.lead_x | grid.lead_y) == 0 && !picture.field_picture &&
         !picture.mbaff && grid.columns() == picture.motion->width_mbs && grid.rows() == picture.motion->height_mbs;
}

void add_residual(const Picture& picture, Spreader& spread) {
  const int shift_x = picture.chroma_shift_x(), shift_y = picture.chroma_shift_y();
  for (const ResidualBlock& block : picture.residual) {
    const int sx = block.plane ? shift_x : 0, sy = block.plane ? shift_y : 0;
    const int tall = block.field ? 2 * block.size : block.size;
    const int x = block.x << sx, y = (block.field ? block.y & ~1 : int(block.y)) << sy, w = block.size << sx, h = tall << sy;
    const float whole = float(w * h);
    float* const energy = spread.plane(block.plane ? kChromaRms : kLumaRms);
    float* const mean = spread.plane(kLumaMean);
    const ptrdiff_t home = spread.home(x, y, w, h);
    if (home >= 0) {
      energy[home] += block.energy;
      if (!block.plane) mean[home] += block.sum;
      continue;
    }
    spread.over(x, y, w, h, [&](size_t cell, float area) {
      energy[cell] += block.energy * (area / whole);
      if (!block.plane) mean[cell] += block.sum * (area / whole);
    });
  }
}

// From sums to means over the area of each cell.
void finish_motion(const Grid& grid, Spreader& spread) {
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
      const float parsed = at(kCovered) + at(kIntra);
      if (parsed > 0) at(kQp) /= parsed;
      for (int plane : {kPastValid, kFutureValid, kCovered, kIntra, kSkip}) at(plane) = std::min(at(plane) / area, 1.0F);
    }
}

// From sums to root mean squares and means. `area`: luma samples in inter macroblocks of the `count` cells from `first` on.
void finish_residual(const Picture& picture, Spreader& spread, size_t first, size_t count, const float* area) {
  const float luma = 1 / float(1 << (picture.sps->bit_depth_luma - 8));
  const float chroma = 1 / float(1 << (picture.sps->bit_depth_chroma - 8));
  const float chroma_samples = 2.0F / float(1 << (picture.chroma_shift_x() + picture.chroma_shift_y()));
  float* const luma_rms = spread.plane(kLumaRms) + first;
  float* const luma_mean = spread.plane(kLumaMean) + first;
  float* const chroma_rms = spread.plane(kChromaRms) + first;
  // Without branches, so that compilers do several cells at a time. A macroblock that broke off has left sums, and no area.
  for (size_t i = 0; i < count; ++i) {
    const float share = std::min(4 * area[i], 1.0F) / std::max(area[i], 0.25F);  // areas are halves, or 0
    luma_rms[i] = std::sqrt(luma_rms[i] * share) * luma;
    luma_mean[i] *= share * luma;
    chroma_rms[i] = std::sqrt(chroma_rms[i] * share / chroma_samples) * chroma;
  }
}

}  // namespace

Summary rasterise(const Picture& picture, const Grid& grid, bool residual, float* out) {
  Spreader spread(grid, out);
  Summary summary;
  if (cells_are_macroblocks(picture, grid)) {
    std::fill_n(spread.plane(kLumaRms), (kChromaRms + 1 - kLumaRms) * spread.size(), 0.0F);
    summary = write_macroblocks(picture, grid, out);
    if (!residual) return summary;
    add_residual(picture, spread);
    const size_t columns = size_t(grid.columns());
    std::vector<float> area(columns);
    for (int row = 0; row < grid.rows(); ++row) {
      const float* const covered = spread.plane(kCovered) + size_t(row) * columns;
      for (int column = 0; column < grid.columns(); ++column)
        area[size_t(column)] = covered[column] * float(std::min(16, grid.width - 16 * column) * std::min(16, grid.height - 16 * row));
      finish_residual(picture, spread, size_t(row) * columns, columns, area.data());
    }
    return summary;
  }
  std::fill_n(out, size_t(kMapPlanes) * spread.size(), 0.0F);
  add_motion(picture, spread, summary);
  if (residual) {
    add_residual(picture, spread);
    finish_residual(picture, spread, 0, spread.size(), spread.plane(kCovered));
  }
  finish_motion(grid, spread);
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
