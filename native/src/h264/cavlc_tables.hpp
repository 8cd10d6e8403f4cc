// Constants of CAVLC (9.2): tables apart from logic.
#pragma once

#include <cstdint>

namespace himmel::h264 {

struct CodeWord {
  uint16_t bits;
  uint8_t length;  // 0: no such codeword
};

// Table 9-5: [column][TotalCoeff][TrailingOnes]; columns 0 <= nC < 2, 2 <= nC < 4, 4 <= nC < 8, 8 <= nC, nC == -1 and
// nC == -2.
extern const CodeWord kCoeffToken[6][17][4];
// Tables 9-7 and 9-8: [tzVlcIndex - 1][total_zeros]; Table 9-9 (a) and (b).
extern const CodeWord kTotalZeros[15][16];
extern const CodeWord kTotalZeros420Dc[3][4];
extern const CodeWord kTotalZeros422Dc[7][8];
// Table 9-10: [zerosLeft - 1][run_before] for zerosLeft 1 to 6.
extern const CodeWord kRunBefore[6][7];

}  // namespace himmel::h264
