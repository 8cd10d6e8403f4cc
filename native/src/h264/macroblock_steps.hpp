// What the loops over macroblocks of both entropy coders consist of, but for the syntax.
#pragma once

#include <cstddef>

#include "h264/slice_state.hpp"

namespace himmel::h264 {

// Once the macroblock's place and, in MBAFF frames, its kind are known. False where it lies outside the picture or
// belongs to another slice already.
bool start_macroblock(SliceState& s);
// P_Skip or B_Skip: everything is inferred (7.4.5).
void skip_macroblock(SliceState& s);
// I_PCM (7.3.5, 9.3.1.2): its samples are passed by. False where they are cut off.
bool parse_pcm(SliceState& s);
// It has been parsed as a whole, from so many bits.
void finish_macroblock(SliceState& s, size_t bits);
// To the next place.
void advance(SliceState& s);

// 7.4.4: a pair without mb_field_decoding_flag is like the one left of it, else like the one above, else of frames.
bool infer_field(const SliceState& s);

}  // namespace himmel::h264
