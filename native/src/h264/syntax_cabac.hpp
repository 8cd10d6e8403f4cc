// Slice data in CABAC.
#pragma once

#include "h264/slice_state.hpp"

namespace himmel::h264 {

// 7.3.4 with entropy_coding_mode_flag = 1: whether the data were read up to their end.
bool run_cabac(SliceState& s);

}  // namespace himmel::h264
