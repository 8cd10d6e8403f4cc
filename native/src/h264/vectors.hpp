// Prediction of motion vectors (8.4.1.1, 8.4.1.3).
#pragma once

#include "h264/slice_state.hpp"

namespace himmel::h264 {

// References and vectors of A, B, C (8.4.1.3.2).
struct Three {
  int8_t ref[3];
  Mv mv[3];
};

// What a 16x16 partition is predicted from.
struct Whole {
  Three three;
  int above_zero;  // bit 0 left, bit 1 above: the reference index is larger than 0 and not derived by direct
                   // prediction
  int mvd[2];      // sums of |mvd| left and above, by component
};

// A, B and C of the whole macroblock, straight from the frame's arrays.
Three three_neighbours(const SliceState& s, int list);
Whole whole_neighbours(const SliceState& s, int list);

// 8.4.1.3.1 with 8.4.1.3, 1: the vector predicted for reference index `wanted`.
Mv choose(const Three& three, int wanted);
// The same for a partition at cache place `at`, `width` 4x4 blocks wide.
Mv median(const SliceState& s, int list, int at, int width, int ref);
// Reference index and vector of C, or of D where C is not available (8.4.1.3.2).
int diagonal(const SliceState& s, int list, int at, int width, Mv& mv);

// P_Skip (8.4.1.1).
void predict_skip(SliceState& s);

// One vector for some blocks in the caches, or for the whole macroblock in the frame's arrays.
void fill_block(SliceState& s, int list, int x, int y, int w, int h, Mv mv, int ref);
void set_whole(SliceState& s, int list, Mv mv, int ref);

}  // namespace himmel::h264
