// Parsed pictures -> a grid of cells, and vectors one by one.
#pragma once

#include <cstdint>
#include <vector>

#include "picture.hpp"

namespace himmel {

// A window of the coded frame in luma samples, cut into square cells; the last row and column may stick out.
struct Grid {
  int left = 0, top = 0, width = 0, height = 0;
  int cell = 16;  // a power of two, 4 or more
  int lead_x = 0, lead_y = 0;  // by how much the first column and row stick out, for pictures that are shown turned
  int rows() const { return (lead_y + height + cell - 1) / cell; }
  int columns() const { return (lead_x + width + cell - 1) / cell; }
};

// Planes of rasterise()'s output, each rows x columns.
enum MapPlane {
  kPastX, kPastY, kFutureX, kFutureY,  // motion forward in time, luma pixels per frame interval; 0 where not valid
  kPastValid, kFutureValid,            // share of the cell with such a vector and a known distance
  kCovered, kIntra, kSkip,             // share of the cell in inter, intra, skipped macroblocks
  kLumaRms, kLumaMean, kChromaRms,     // residual over the covered part, in 8-bit code values
  kQp, kBits,                          // mean QPY; bits of slice data
  kMapPlanes
};

struct Summary {
  float past_distance = 0, future_distance = 0;  // mean over the valid area, frame intervals; 0: none
  int64_t num_vectors = 0;                       // partitions with a vector, counted once a list
};

// `out` holds kMapPlanes * rows * columns values. The picture has been parsed, with residual if that is wanted.
Summary rasterise(const Picture& picture, const Grid& grid, bool residual, float* out);

// One motion-compensated block (himmel_bitstream.VECTOR); layout shared with Python.
struct VectorRecord {
  int16_t x, y;
  uint8_t w, h;
  int16_t mv_x, mv_y;
  uint8_t list, ref_idx, field, ref_structure;
  uint16_t unused_a;  // padding, zero so that equal records are equal bytes
  int32_t mb;
  uint32_t unused_b;
  int64_t ref_number;
  int32_t ref_poc;
  float distance;
};

std::vector<VectorRecord> vectors(const Picture& picture);

}  // namespace himmel
