// Slice data in CAVLC.
#pragma once

#include "h264/slice_state.hpp"

namespace himmel::h264 {

// 7.3.4 with entropy_coding_mode_flag = 0: whether the data were read up to their end.
bool run_cavlc(SliceState& s);

}  // namespace himmel::h264
