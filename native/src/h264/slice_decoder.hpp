// Slice data (7.3.4): from macroblock to macroblock.
#pragma once

#include <cstddef>
#include <cstdint>

#include "h264/slice_state.hpp"

namespace himmel::h264 {

// Parse one slice: whether its data were read up to their end. Never throws; what cannot be parsed stays kMbDamaged.
// `poc` are the current frame's, top and
// bottom.
bool decode_slice(SliceState& s, const Slice& slice, uint16_t index, const Colocated& colocated, const int32_t poc[2],
                  int32_t frame_poc, const uint8_t* rbsp, size_t bytes);

}  // namespace himmel::h264
