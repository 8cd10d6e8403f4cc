#include "common/grid.hpp"

#include <cmath>
#include <utility>

namespace himmel {

void add_residual(const ResidualBlocks& residual, const SampleFormat& format, Spreader& spread) {
  for (const ResidualBlock& block : residual) {
    const int sx = block.plane ? format.chroma_shift_x : 0, sy = block.plane ? format.chroma_shift_y : 0;
    const int tall = block.field ? 2 * block.size : block.size;
    const int x = block.x << sx, y = (block.field ? block.y & ~1 : int(block.y)) << sy, w = block.size << sx,
              h = tall << sy;
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

void finish_motion(Spreader& spread) {
  const Grid& grid = spread.grid();
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
      for (int plane : {kPastValid, kFutureValid, kCovered, kIntra, kSkip})
        at(plane) = std::min(at(plane) / area, 1.0F);
    }
}

void finish_residual(const SampleFormat& format, Spreader& spread, size_t first, size_t count, const float* area) {
  const float luma = 1 / float(1 << (format.bit_depth_luma - 8));
  const float chroma = 1 / float(1 << (format.bit_depth_chroma - 8));
  const float chroma_samples = 2.0F / float(1 << (format.chroma_shift_x + format.chroma_shift_y));
  float* const luma_rms = spread.plane(kLumaRms) + first;
  float* const luma_mean = spread.plane(kLumaMean) + first;
  float* const chroma_rms = spread.plane(kChromaRms) + first;
  // Without branches, so that compilers do several cells at a time. A macroblock that broke off has left sums, and no
  // area.
  for (size_t i = 0; i < count; ++i) {
    const float share = std::min(4 * area[i], 1.0F) / std::max(area[i], 0.25F);  // areas are halves, or 0
    luma_rms[i] = std::sqrt(luma_rms[i] * share) * luma;
    luma_mean[i] *= share * luma;
    chroma_rms[i] = std::sqrt(chroma_rms[i] * share / chroma_samples) * chroma;
  }
}

}  // namespace himmel
