// Slice data (7.3.4): macroblock types, vectors and transform levels. One object serves one thread, picture after picture.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "common/arithmetic.hpp"
#include "h264/cavlc.hpp"
#include "h264/motion.hpp"

namespace himmel::h264 {

class ResidualSink;
struct InterType;

// Vectors, references and counts of the current macroblock and of the row above and the column left of it, 8 entries a row:
// block (x, y) in 4x4 units, x and y from -1, stands at 12 + x + 8 * y.
inline constexpr int kCacheSize = 48;
constexpr int cache_at(int x, int y) { return 12 + x + 8 * y; }
inline constexpr int8_t kUnavailable = -2;  // in a reference cache: outside the slice, or decoded later

// What later macroblocks of the picture want to know and nobody afterwards.
struct MbContext {
  uint8_t counts[48];    // non-zero levels of 4x4 blocks (in CABAC whether there are any), 16 a plane in raster order, rows of 4
  uint8_t mvd[2][7][2];  // |mvd| saturated, of the bottom row (0..3) and of the right column's rows 0..2 (4..6)
  uint8_t dc_coded;      // bit p: the DC block of plane p has levels
  uint8_t chroma_mode;   // intra_chroma_pred_mode
};

struct Scratch {
  std::vector<MbContext> contexts;
  std::array<uint8_t, 1024> cabac_contexts;
  std::vector<uint8_t> rbsp;
};

class SliceDecoder {
 public:
  // `sink` may be null: levels are then parsed and dropped.
  SliceDecoder(FrameMotion& frame, Scratch& scratch, ResidualSink* sink);

  // Parse one slice. Never throws; what cannot be parsed stays kMbDamaged. `poc` are the current frame's, top and bottom.
  void decode(const Slice& slice, uint16_t index, const Colocated& colocated, const int32_t poc[2], int32_t frame_poc,
              const uint8_t* rbsp, size_t bytes);

 private:
  // Neighbouring macroblocks (6.4.9, 6.4.10, 6.4.12): indices into the frame's arrays, -1 not available.
  struct Neighbours {
    int left[4];          // of the 4x4 rows 0..3
    uint8_t left_row[4];  // and the row inside that macroblock
    int left8[2];         // of 8 chroma lines' rows 0 and 1, in MBAFF frames
    uint8_t left8_row[2];
    int top, top_right, top_left;
    uint8_t top_left_row;
  };
  struct Place { int mb; int y; };

  // slice_decoder.cpp: the loops over macroblocks
  void run_cabac();
  void run_cavlc();
  bool start_macroblock();
  void skip_macroblock();
  void finish_macroblock(size_t bits);
  void advance();
  bool infer_field() const;
  bool read_field_flag();

  // neighbours.cpp
  void find_neighbours();
  Place left_of(int y, int height) const;
  bool available(int mb) const { return mb >= 0 && frame_.mbs[size_t(mb)].slice == index_; }
  void find_mbaff_neighbours();
  void fill_counts(int plane);
  void fill_motion(int list);
  void scale_neighbour(int list, int at, int mb);
  void store_motion(int list);

  // vectors.cpp
  struct Three { int8_t ref[3]; Mv mv[3]; };  // A, B, C (8.4.1.3.2) of the whole macroblock
  Three three_neighbours(int list) const;
  // What a 16x16 partition is predicted from.
  struct Whole {
    Three three;
    int above_zero;  // see ref_idx
    int mvd[2];      // sums of |mvd| left and above, by component
  };
  Whole whole_neighbours(int list) const;
  static Mv choose(const Three& three, int wanted);
  Mv median(int list, int at, int width, int ref) const;
  int diagonal(int list, int at, int width, Mv& mv) const;
  void predict_skip();
  void fill_block(int list, int x, int y, int w, int h, Mv mv, int ref);
  void set_whole(int list, Mv mv, int ref);

  // direct.cpp
  struct ColBlock { bool intra; Mv mv; int ref; int64_t key; Structure structure; int64_t frame_key; };
  struct Spatial { int ref[2]; Mv mv[2]; unsigned still; };  // `still`: 4x4 blocks (bits) with colZeroFlag where that matters
  void predict_direct();
  void predict_direct(unsigned quarters);
  Spatial spatial_prediction(unsigned quarters) const;
  unsigned still_blocks(unsigned quarters) const;
  void direct_temporal(unsigned quarters);
  ColBlock colocated_block(int x, int y) const;
  bool colocated_is_field() const;
  int map_to_list0(const ColBlock& col) const;
  void finish_direct(unsigned quarters, bool whole);

  // syntax, by one or the other entropy coder: syntax_cabac.cpp, syntax_cavlc.cpp
  template <class Syntax> bool parse_macroblock(Syntax syntax);
  template <class Syntax> bool parse_intra(Syntax syntax, int type);
  template <class Syntax> bool parse_inter(Syntax syntax, int type);
  template <class Syntax> bool parse_sub_macroblocks(Syntax syntax, int lists);
  template <class Syntax> bool parse_whole(Syntax syntax, int used);
  template <class Syntax> bool parse_partitions(Syntax syntax, const InterType& inter);
  template <class Syntax> bool parse_residual(Syntax syntax);
  template <class Blocks> bool read_blocks(bool keep);
  template <class Blocks> bool read_luma(Blocks& blocks, int plane, bool keep);
  template <class Blocks> bool read_chroma(Blocks& blocks, bool keep);
  bool parse_pcm();

  struct Difference { int x, y; };
  struct CabacSyntax;
  template <bool kKeep> struct CabacBlocks;
  struct CavlcSyntax;
  template <bool kKeep> struct CavlcBlocks;

  FrameMotion& frame_;
  Scratch& scratch_;
  ResidualSink* sink_;

  // of the slice
  const Slice* slice_ = nullptr;
  const SliceHeader* header_ = nullptr;
  const Sps* sps_ = nullptr;
  const Pps* pps_ = nullptr;
  Colocated colocated_;
  uint16_t index_ = 0;
  int32_t poc_[2] = {0, 0}, frame_poc_ = 0;
  int lists_ = 1;
  bool mbaff_ = false, field_picture_ = false, is_b_ = false, is_intra_ = false, direct8_ = false;
  int stride_ = 0;      // from a macroblock to the one below it in the same picture, in the frame's arrays
  int planes_ = 1;      // coded like luma (3 in 4:4:4)
  int chroma_rows_ = 0;  // rows of 4x4 chroma blocks: 2 (4:2:0), 4 (4:2:2)
  int height_ = 0;      // rows of macroblocks of the picture
  Cabac cabac_;
  BitReader bits_;
  uint8_t* contexts_ = nullptr;

  // of the macroblock
  int x_ = 0, y_ = 0;   // in macroblocks; MBAFF: y_ is the row of the frame
  int mb_ = 0;
  Macroblock* cur_ = nullptr;
  MbContext* ctx_ = nullptr;
  bool field_ = false;  // field macroblock of an MBAFF frame
  int qp_ = 0;
  int last_qp_delta_ = 0;
  bool broken_ = false;
  Neighbours near_;
  alignas(32) Mv mv_[2][kCacheSize];
  alignas(32) int8_t ref_[2][kCacheSize];
  uint8_t mvd_[2][kCacheSize][2];
  uint8_t counts_[3][kCacheSize];
  uint8_t direct_at_[kCacheSize];
  Levels levels_;
};

}  // namespace himmel::h264
