#include "h264/raster.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#include "h264/raster_macroblocks.hpp"
#include "h264/steps.hpp"

namespace himmel::h264 {

namespace {

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
          const float vy =
              (lines.alternate ? 2.0F * float(mvs[block].y) + step.lines : float(mvs[block].y)) * step.per_interval;
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

}  // namespace

Summary rasterise(const Picture& picture, const Grid& grid, bool residual, float* out) {
  Spreader spread(grid, out);
  Summary summary;
  const SampleFormat format = picture.sample_format();
  if (cells_are_macroblocks(picture, grid)) {
    std::fill_n(spread.plane(kLumaRms), (kChromaRms + 1 - kLumaRms) * spread.size(), 0.0F);
    summary = write_macroblocks(picture, grid, out);
    if (!residual) return summary;
    add_residual(picture.residual, format, spread);
    const size_t columns = size_t(grid.columns());
    std::vector<float> area(columns);
    for (int row = 0; row < grid.rows(); ++row) {
      const float* const covered = spread.plane(kCovered) + size_t(row) * columns;
      for (int column = 0; column < grid.columns(); ++column)
        area[size_t(column)] =
            covered[column] * float(std::min(16, grid.width - 16 * column) * std::min(16, grid.height - 16 * row));
      finish_residual(format, spread, size_t(row) * columns, columns, area.data());
    }
    return summary;
  }
  std::fill_n(out, size_t(kMapPlanes) * spread.size(), 0.0F);
  add_motion(picture, spread, summary);
  if (residual) {
    add_residual(picture.residual, format, spread);
    finish_residual(format, spread, 0, spread.size(), spread.plane(kCovered));
  }
  finish_motion(spread);
  return summary;
}

}  // namespace himmel::h264
