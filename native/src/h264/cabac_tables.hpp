// Constants of CABAC (9.3): tables apart from logic.
#pragma once

#include <cstdint>

namespace himmel::h264 {

// Tables 9-12 to 9-33: (m, n) of ctxIdx 0..1023; index 0 for I and SI slices, 1 + cabac_init_idc for P, SP and B.
// ctxIdx 276 (end_of_slice_flag) and those that a slice type does not use are (0, 0).
extern const int8_t kCabacInit[4][1024][2];

// Table 9-43, coded blocks of ctxBlockCat 5, 9 and 13: ctxIdxInc of significant_coeff_flag for levelListIdx 0..62,
// [0] frame coded, [1] field coded macroblocks; and of last_significant_coeff_flag.
extern const uint8_t kSignificant8x8[2][63];
extern const uint8_t kLast8x8[63];

}  // namespace himmel::h264
