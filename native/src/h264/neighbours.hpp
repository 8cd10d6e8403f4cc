// Neighbouring macroblocks and blocks (6.4.8 to 6.4.12), and what is copied from them into the caches and back.
#pragma once

#include "h264/slice_state.hpp"

namespace himmel::h264 {

// A line of a macroblock, -1 where there is none.
struct Place {
  int mb;
  int y;
};

// Whether a macroblock has been parsed and belongs to the current slice.
inline bool available(const SliceState& s, int mb) { return mb >= 0 && s.frame.mbs[size_t(mb)].slice == s.index; }

// Fills `near` for the current macroblock.
void find_neighbours(SliceState& s);
// Where the luma (height 16) or chroma line y left of the current macroblock of an MBAFF frame lies (Table 6-4, xN <
// 0).
Place left_of(const SliceState& s, int y, int height);

// Counts of the blocks above and left of the macroblock.
void fill_counts(SliceState& s, int plane);
// Vectors, references and vector differences of the blocks around the macroblock.
void fill_motion(SliceState& s, int list);
// The macroblock's own from the caches to the frame's arrays.
void store_motion(SliceState& s, int list);

}  // namespace himmel::h264
