// Direct prediction in B slices (8.4.1.2).
#pragma once

#include "h264/slice_state.hpp"

namespace himmel::h264 {

// The whole macroblock, B_Skip or B_Direct_16x16, into the frame's arrays.
void predict_direct(SliceState& s);
// Direct quarters (bits) of a macroblock, into the caches.
void predict_direct(SliceState& s, unsigned quarters);

}  // namespace himmel::h264
