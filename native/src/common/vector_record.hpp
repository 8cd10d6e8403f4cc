// A vector as Python gets it.
#pragma once

#include <cstdint>

namespace himmel {

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

}  // namespace himmel
