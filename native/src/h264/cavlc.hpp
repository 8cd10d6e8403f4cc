// Transform coefficient levels in CAVLC (9.2).
#pragma once

#include <cstdint>

#include "common/bit_reader.hpp"

namespace himmel::h264 {

// Levels of one block in the order in which 9.2.4 places them: position[i] is the index into coeffLevel (0-based,
// without startIdx), strictly decreasing from the last coefficient to the first.
struct Levels {
  int count = 0;
  int16_t position[64];
  int32_t level[64];
};

// Parse residual_block_cavlc() for `max_coefficients` = 4 (chroma DC 4:2:0, nC = -1), 8 (chroma DC 4:2:2, nC = -2), 15
// or 16. Returns TotalCoeff(coeff_token), or -1 if the syntax is broken. Nothing is allocated; reads past the end are
// safe and show in bits.overrun(). If `levels` is null they are parsed but not kept.
int read_cavlc_block(BitReader& bits, int nC, int max_coefficients, Levels* levels);

// coded_block_pattern me(v) (Table 9-4): code_num 0..47 (chroma formats 1 and 2) or 0..15 (0 and 3), intra (Intra_4x4,
// Intra_8x8) or inter -> CodedBlockPatternLuma | CodedBlockPatternChroma << 4. Index
// [chroma_is_1_or_2][inter][code_num].
extern const uint8_t kCodedBlockPattern[2][2][48];

}  // namespace himmel::h264
