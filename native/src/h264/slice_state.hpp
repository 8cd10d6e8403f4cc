// Where the parser of a slice is: what it knows of the slice, of the current macroblock and of its neighbours. Plain
// data, which the stages of the macroblock layer (neighbours, vectors, direct, syntax) read and write in turn.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "common/arithmetic.hpp"
#include "common/bit_reader.hpp"
#include "h264/cavlc.hpp"
#include "h264/motion.hpp"

namespace himmel::h264 {

class ResidualSink;

// Vectors, references and counts of the current macroblock and of the row above and the column left of it, 8 entries a
// row: block (x, y) in 4x4 units, x and y from -1, is at 12 + x + 8 * y.
inline constexpr int kCacheSize = 48;
constexpr int cache_at(int x, int y) { return 12 + x + 8 * y; }
inline constexpr int8_t kUnavailable = -2;  // in a reference cache: outside the slice, or decoded later

// What later macroblocks of the picture want to know and nobody afterwards.
struct MbContext {
  uint8_t counts[48];    // non-zero levels of 4x4 blocks (in CABAC whether there are any), 16 a plane in raster order,
                         // rows of 4
  uint8_t mvd[2][7][2];  // |mvd| saturated, of the bottom row (0..3) and of the right column's rows 0..2 (4..6)
  uint8_t dc_coded;      // bit p: the DC block of plane p has levels
  uint8_t chroma_mode;   // intra_chroma_pred_mode
};

// Memory that one thread uses for picture after picture.
struct Scratch {
  std::vector<MbContext> contexts;
  std::array<uint8_t, 1024> cabac_contexts;
  std::vector<uint8_t> rbsp;
};

// Neighbouring macroblocks (6.4.9, 6.4.10, 6.4.12): indices into the frame's arrays, -1 not available.
struct Neighbours {
  int left[4];          // of the 4x4 rows 0..3
  uint8_t left_row[4];  // and the row inside that macroblock
  int left8[2];         // of 8 chroma lines' rows 0 and 1, in MBAFF frames
  uint8_t left8_row[2];
  int top, top_right, top_left;
  uint8_t top_left_row;
};

struct SliceState {
  // `sink` may be null: levels are then parsed and dropped.
  SliceState(FrameMotion& frame_, Scratch& scratch_, ResidualSink* sink_)
      : frame(frame_), scratch(scratch_), sink(sink_) {
    scratch.contexts.resize(frame.size());
  }
  SliceState(const SliceState&) = delete;
  SliceState& operator=(const SliceState&) = delete;

  FrameMotion& frame;
  Scratch& scratch;
  ResidualSink* const sink;

  // of the slice
  const Slice* slice = nullptr;
  const SliceHeader* header = nullptr;
  const Sps* sps = nullptr;
  const Pps* pps = nullptr;
  Colocated colocated;
  uint16_t index = 0;  // among the picture's slices
  int32_t poc[2] = {0, 0}, frame_poc = 0;
  int lists = 1;
  bool mbaff = false, field_picture = false, is_b = false, is_intra = false, direct8 = false;
  int stride = 0;       // from a macroblock to the one below it in the same picture, in the frame's arrays
  int planes = 1;       // coded like luma (3 in 4:4:4)
  int chroma_rows = 0;  // rows of 4x4 chroma blocks: 2 (4:2:0), 4 (4:2:2)
  int height = 0;       // rows of macroblocks of the picture
  Cabac cabac;
  BitReader bits;
  uint8_t* contexts = nullptr;

  // of the macroblock
  int x = 0, y = 0;  // in macroblocks; MBAFF: y is the row of the frame
  int mb = 0;        // its index in the frame's arrays
  Macroblock* cur = nullptr;
  MbContext* ctx = nullptr;
  bool field = false;  // field macroblock of an MBAFF frame
  int qp = 0;
  int last_qp_delta = 0;
  bool broken = false;
  Neighbours near;
  // Its blocks and those around it: see cache_at().
  alignas(32) Mv mv[2][kCacheSize];
  alignas(32) int8_t ref[2][kCacheSize];
  uint8_t mvd[2][kCacheSize][2];
  uint8_t counts[3][kCacheSize];
  uint8_t direct_at[kCacheSize];
  Levels levels;
};

}  // namespace himmel::h264
