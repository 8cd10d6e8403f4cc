// What the stages hand to each other about pictures and references. Plain data, no logic.
#pragma once

#include <array>
#include <cstdint>
#include <limits>

namespace himmel {

// How much of a frame a coded picture, or a reference, is. Bits, so that kFrame == kTop | kBottom.
enum Structure : uint8_t { kNone = 0, kTop = 1, kBottom = 2, kFrame = 3 };

// A motion vector in quarter luma samples, y in the rows of the macroblock that it belongs to (frame or field).
struct Mv {
  int16_t x = 0;
  int16_t y = 0;
  bool operator==(const Mv&) const = default;
};

// One entry of RefPicList0/1 (8.2.4): identities and times, never samples.
struct RefEntry {
  int32_t frame = -1;           // serial number of the frame (or complementary field pair) in the stream; -1: none
  Structure structure = kNone;  // what part of the frame is referred to
  bool long_term = false;
  bool missing = false;           // invented for a gap (8.2.5.2), lost, or before the place where reading began
  int32_t poc = 0;                // PicOrderCnt() of the entry: a frame's is the smaller of its fields'
  int32_t poc_field[2] = {0, 0};  // TopFieldOrderCnt, BottomFieldOrderCnt of its frame
  int64_t number = -1;            // the caller's number of the picture, -1 if missing
  double position = std::numeric_limits<double>::quiet_NaN();  // its place in presentation order, NaN if unknown
};

struct SliceRefs {
  uint8_t count[2] = {0, 0};                       // num_ref_idx_active, 0 to 32
  std::array<std::array<RefEntry, 32>, 2> list{};  // entries beyond `count` are default
};

}  // namespace himmel
