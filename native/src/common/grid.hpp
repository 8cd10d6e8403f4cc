// Maps on a grid of cells: what their planes are, and how blocks are spread over them.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>

#include "common/residual_blocks.hpp"

namespace himmel {

// A window of the coded frame in luma samples, cut into square cells; the last row and column may stick out.
struct Grid {
  int left = 0, top = 0, width = 0, height = 0;
  int cell = 16;               // a power of two, 4 or more
  int lead_x = 0, lead_y = 0;  // by how much the first column and row stick out, for pictures that are shown turned
  int rows() const { return (lead_y + height + cell - 1) / cell; }
  int columns() const { return (lead_x + width + cell - 1) / cell; }
};

// Planes of a picture's maps, each rows x columns.
// clang-format off
enum MapPlane {
  kPastX, kPastY, kFutureX, kFutureY,  // motion forward in time, luma pixels per frame interval; 0 where not valid
  kPastValid, kFutureValid,            // share of the cell with such a vector and a known distance
  kCovered, kIntra, kSkip,             // share of the cell in inter, intra, skipped macroblocks
  kLumaRms, kLumaMean, kChromaRms,     // residual over the covered part, in 8-bit code values
  kQp, kBits,                          // mean QPY; bits of slice data
  kMapPlanes
};
// clang-format on

struct Summary {
  float past_distance = 0, future_distance = 0;  // mean over the valid area, frame intervals; 0: none
  int64_t num_vectors = 0;                       // partitions with a vector, counted once a list
};

// How samples are coded: bits of luma and chroma, and chroma subsampling as log2 of the horizontal and vertical
// factors.
struct SampleFormat {
  int bit_depth_luma = 8, bit_depth_chroma = 8;
  int chroma_shift_x = 1, chroma_shift_y = 1;
};

// Sums over cells while blocks are spread.
class Spreader {
 public:
  Spreader(const Grid& grid, float* out)
      : grid_(grid), out_(out), size_(size_t(grid.rows()) * size_t(grid.columns())), columns_(grid.columns()),
        shift_(std::countr_zero(unsigned(grid.cell))) {}

  const Grid& grid() const { return grid_; }
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
    const int x1 = std::min(x + w + dx, grid_.lead_x + grid_.width),
              y1 = std::min(y + h + dy, grid_.lead_y + grid_.height);
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

// Add the sums of coded blocks to the three planes of the residual.
void add_residual(const ResidualBlocks& residual, const SampleFormat& format, Spreader& spread);

// From sums to means over the area of each cell.
void finish_motion(Spreader& spread);

// From sums to root mean squares and means. `area`: luma samples in inter blocks of the `count` cells from `first` on.
void finish_residual(const SampleFormat& format, Spreader& spread, size_t first, size_t count, const float* area);

}  // namespace himmel
