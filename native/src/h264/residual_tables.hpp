// Constants of scanning and scaling (8.5.6, 8.5.7, 8.5.8, 8.5.9, Table 8-15).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace himmel::h264 {

// Raster place (row * 4 + column) of each scan position; [0] zig-zag, [1] field scan.
inline constexpr uint8_t kScan4x4[2][16] = {{0, 1, 4, 8, 5, 2, 3, 6, 9, 12, 13, 10, 7, 11, 14, 15},
                                            {0, 4, 1, 8, 12, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15}};

// The same for 8x8 blocks, row * 8 + column.
inline constexpr uint8_t kScan8x8[2][64] = {
    {0,  1,  8,  16, 9,  2,  3,  10, 17, 24, 32, 25, 18, 11, 4,  5,  12, 19, 26, 33, 40, 48,
     41, 34, 27, 20, 13, 6,  7,  14, 21, 28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23,
     30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63},
    {0,  8,  16, 1,  9,  24, 32, 17, 2, 25, 40, 48, 56, 33, 10, 3,  18, 41, 49, 57, 26, 11,
     4,  19, 34, 42, 50, 58, 27, 12, 5, 20, 35, 43, 51, 59, 28, 13, 6,  21, 36, 44, 52, 60,
     29, 14, 22, 37, 45, 53, 61, 30, 7, 15, 38, 46, 54, 62, 23, 31, 39, 47, 55, 63}};

// normAdjust4x4: even/even, odd/odd, mixed places.
inline constexpr uint8_t kNorm4x4[6][3] = {{10, 16, 13}, {11, 18, 14}, {13, 20, 16},
                                           {14, 23, 18}, {16, 25, 20}, {18, 29, 23}};

inline constexpr uint8_t kNorm8x8[6][6] = {{20, 18, 32, 19, 25, 24}, {22, 19, 35, 21, 28, 26},
                                           {26, 23, 42, 24, 33, 31}, {28, 25, 45, 26, 35, 33},
                                           {32, 28, 51, 30, 40, 38}, {36, 32, 58, 34, 46, 43}};
// Which column of kNorm8x8 a place takes, by row modulo 4 and column modulo 4.
inline constexpr uint8_t kNormClass8x8[4][4] = {{0, 3, 4, 3}, {3, 1, 5, 1}, {4, 5, 2, 5}, {3, 1, 5, 1}};

// QPC for qPI from 30 on (Table 8-15).
inline constexpr uint8_t kChromaQp[22] = {29, 30, 31, 32, 32, 33, 34, 34, 35, 35, 36,
                                          36, 37, 37, 37, 38, 38, 38, 39, 39, 39, 39};

// Raster place (row * 2 + column) of chroma DC levels in 4:2:2 (8.5.11.1).
inline constexpr uint8_t kChromaDc422[8] = {0, 2, 1, 4, 6, 3, 5, 7};

// Squared norms of the inverse transforms' basis functions, in units of 1 (8.5.12.2, 8.5.13.2): by frequency, and by
// raster place.
inline constexpr std::array<float, 4> kNormOf4 = {4.0F, 2.5F, 4.0F, 2.5F};
inline constexpr std::array<float, 8> kNormOf8 = {8.0F, 9.03125F, 5.0F, 9.03125F, 8.0F, 9.03125F, 5.0F, 9.03125F};

template <size_t kSize>
constexpr std::array<float, kSize * kSize> products(const std::array<float, kSize>& norms) {
  std::array<float, kSize * kSize> table{};
  for (size_t i = 0; i < table.size(); ++i) table[i] = norms[i / kSize] * norms[i % kSize];
  return table;
}
inline constexpr auto kNorms4x4 = products(kNormOf4);
inline constexpr auto kNorms8x8 = products(kNormOf8);

}  // namespace himmel::h264
