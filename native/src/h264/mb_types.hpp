// Macroblock types by mb_type (Tables 7-11, 7-13, 7-14, 7-17, 7-18).
#pragma once

#include <cstdint>

#include "h264/motion.hpp"

namespace himmel::h264 {

struct InterType {
  uint8_t shape;
  uint8_t lists[2];  // of each partition: bit 0 list 0, bit 1 list 1
};

// P_L0_16x16, P_L0_L0_16x8, P_L0_L0_8x16, P_8x8, P_8x8ref0.
inline constexpr InterType kPTypes[5] = {
    {k16x16, {1, 0}}, {k16x8, {1, 1}}, {k8x16, {1, 1}}, {k8x8, {0, 0}}, {k8x8, {0, 0}}};

// B_Direct_16x16 (0) and B_8x8 (22) have no partitions here.
inline constexpr InterType kBTypes[23] = {
    {k8x8, {0, 0}},  {k16x16, {1, 0}}, {k16x16, {2, 0}}, {k16x16, {3, 0}}, {k16x8, {1, 1}}, {k8x16, {1, 1}},
    {k16x8, {2, 2}}, {k8x16, {2, 2}},  {k16x8, {1, 2}},  {k8x16, {1, 2}},  {k16x8, {2, 1}}, {k8x16, {2, 1}},
    {k16x8, {1, 3}}, {k8x16, {1, 3}},  {k16x8, {2, 3}},  {k8x16, {2, 3}},  {k16x8, {3, 1}}, {k8x16, {3, 1}},
    {k16x8, {3, 2}}, {k8x16, {3, 2}},  {k16x8, {3, 3}},  {k8x16, {3, 3}},  {k8x8, {0, 0}}};

struct SubType {
  uint8_t shape;
  uint8_t lists;  // 0: direct
};

inline constexpr SubType kPSubTypes[4] = {{k8x8, 1}, {k8x4, 1}, {k4x8, 1}, {k4x4, 1}};
inline constexpr SubType kBSubTypes[13] = {{k8x8, 0}, {k8x8, 1}, {k8x8, 2}, {k8x8, 3}, {k8x4, 1}, {k4x8, 1}, {k8x4, 2},
                                           {k4x8, 2}, {k8x4, 3}, {k4x8, 3}, {k4x4, 1}, {k4x4, 2}, {k4x4, 3}};

inline constexpr int kIntraPcm = 25;                 // mb_type in I slices
inline constexpr int kIntraInP = 5, kIntraInB = 23;  // where intra types begin in other slices

}  // namespace himmel::h264
