#include "h264/direct.hpp"

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <cstring>

#include "h264/neighbours.hpp"
#include "h264/vectors.hpp"

namespace himmel::h264 {

namespace {

// The co-located block: its vector, what it refers to, and as a whole frame.
struct ColBlock {
  bool intra;
  Mv mv;
  int ref;
  int64_t key;
  Structure structure;
  int64_t frame_key;
};

// `still`: 4x4 blocks (bits) with colZeroFlag where that matters.
struct Spatial {
  int ref[2];
  Mv mv[2];
  unsigned still;
};

// MinPositive() (8.4.1.2.2): references that are not there, negative numbers, are the largest unsigned ones.
int min_positive(int a, int b) { return int(std::min(unsigned(a), unsigned(b))); }

Structure opposite(Structure field) { return field == kTop ? kBottom : kTop; }

// Whether the co-located macroblocks of the current place are field macroblocks.
bool colocated_is_field(const SliceState& s) {
  return s.colocated.motion && s.colocated.motion->mbs[size_t(s.mb)].has(kMbField);
}

// The co-located 4x4 block (8.4.1.2.1) of block (x, y) of the current macroblock: Table 8-8 reduces to four cases when
// fields and frames share one raster. With direct_8x8_inference_flag, x and y are corners.
ColBlock colocated_block(const SliceState& s, int x, int y) {
  ColBlock none{true, {}, -1, -1, kNone, -1};
  if (!s.colocated.motion) return none;
  const FrameMotion& col = *s.colocated.motion;
  const int w = col.width_mbs, row = s.mb / w, pair = s.mb - (row & 1) * w;
  const bool field = s.field || s.field_picture, other = colocated_is_field(s);
  int mb = s.mb, block_y = y;
  if (field && other) {
    // A field picture's co-located field has a parity of its own.
    if (s.field_picture) {
      const Structure structure = s.slice->refs.list[1][0].structure;
      const bool coded_as_field =
          col.mbs[size_t(pair)].slice != kNoSlice && !(*s.colocated.slices)[col.mbs[size_t(pair)].slice].header.mbaff;
      const bool bottom = coded_as_field ? structure == kBottom : s.header->structure == kBottom;
      mb = pair + bottom * w;
    }
  } else if (field && !other) {
    mb = pair + (y >> 1) * w;
    block_y = (2 * y) & 3;
    if (y == 3) block_y = 2;
  } else if (!field && other) {
    const RefEntry& first = s.slice->refs.list[1][0];
    const int top = std::abs(first.poc_field[0] - s.frame_poc), bottom = std::abs(first.poc_field[1] - s.frame_poc);
    mb = pair + (top < bottom ? 0 : w);
    block_y = 2 * (row & 1) + (y >> 1);
  }
  const Macroblock& block = col.mbs[size_t(mb)];
  if (block.has(kMbIntra | kMbDamaged)) return none;
  const int quarter = 2 * (block_y >> 1) + (x >> 1);
  int list = 0;
  int ref = col.ref[0][4 * mb + quarter];
  if (ref < 0) {
    if (col.lists < 2) return none;
    list = 1;
    ref = col.ref[1][4 * mb + quarter];
    if (ref < 0) return none;
  }
  ColBlock found{false, col.mv[list][16 * mb + 4 * block_y + x], ref, -1, kNone, -1};
  const Slice& slice = (*s.colocated.slices)[block.slice];
  const bool fields_of_frame = slice.header.mbaff && block.has(kMbField);
  const RefEntry& entry = slice.refs.list[size_t(list)][size_t(fields_of_frame ? ref >> 1 : ref) & 31];
  found.structure = entry.structure;
  if (fields_of_frame) {
    const Structure own = block.has(kMbBottom) ? kBottom : kTop;
    found.structure = ref & 1 ? opposite(own) : own;
  }
  found.key = picture_key(entry.frame, found.structure);
  found.frame_key = picture_key(entry.frame, kFrame);
  return found;
}

// Lowest refIdxL0 that names the picture which the co-located block refers to (8.4.1.2.3).
int map_to_list0(const SliceState& s, const ColBlock& col) {
  const SliceRefs& refs = s.slice->refs;
  const bool field = s.field || s.field_picture;
  const Structure own = s.header->structure == kFrame ? (s.y & 1 ? kBottom : kTop) : s.header->structure;
  int64_t wanted = col.frame_key;
  if (field) wanted += (col.structure == kFrame ? own : col.structure) - kFrame;
  for (int i = 0; i < refs.count[0]; ++i) {
    const RefEntry& entry = refs.list[0][size_t(i)];
    if (entry.frame == -1) continue;
    if (!s.field) {
      if (picture_key(entry.frame, entry.structure) == wanted) return i;
      continue;
    }
    if (picture_key(entry.frame, own) == wanted) return 2 * i;
    if (picture_key(entry.frame, opposite(own)) == wanted) return 2 * i + 1;
  }
  return 0;
}

// The 4x4 blocks (bits, raster order) of the given quarters with colZeroFlag, but for the test of RefPicList1[0]
// (8.4.1.2.2).
unsigned still_blocks(const SliceState& s, unsigned quarters) {
  const auto is_still = [](Mv mv) { return unsigned(mv.x + 1) <= 2 && unsigned(mv.y + 1) <= 2; };
  constexpr unsigned kQuarter[4] = {0x0033, 0x00CC, 0x3300, 0xCC00};
  unsigned still = 0;
  if (!s.mbaff && !s.field_picture && s.direct8 && s.colocated.motion && !colocated_is_field(s)) {
    // Frames both: the corners of the macroblock at the same place. Without motion, references are negative.
    const FrameMotion& col = *s.colocated.motion;
    if (col.mbs[size_t(s.mb)].has(kMbDamaged)) return 0;
    constexpr int kCorner[4] = {0, 3, 12, 15};
    for (int q = 0; q < 4; ++q) {
      if (!(quarters >> q & 1)) continue;
      int list = 0, ref = col.ref[0][4 * s.mb + q];
      if (ref < 0 && col.lists > 1) list = 1, ref = col.ref[1][4 * s.mb + q];
      if (ref == 0 && is_still(col.mv[list][16 * s.mb + kCorner[q]])) still |= kQuarter[q];
    }
    return still;
  }
  for (int block = 0; block < 16; ++block) {
    const int x = block & 3, y = block >> 2, q = (y & 2) + (x >> 1);
    if (!(quarters >> q & 1) || (s.direct8 && (x % 3 || y % 3))) continue;
    const ColBlock col = colocated_block(s, x, y);
    if (!col.intra && col.ref == 0 && is_still(col.mv)) still |= s.direct8 ? kQuarter[q] : 1U << block;
  }
  return still;
}

// 8.4.1.2.2, the same for all quarters except those that are still in the co-located picture.
Spatial spatial_prediction(const SliceState& s, unsigned quarters) {
  Spatial spatial{{-1, -1}, {}, 0};
  for (int list = 0; list < 2; ++list) {
    const Three n = three_neighbours(s, list);
    const int ref = min_positive(n.ref[0], min_positive(n.ref[1], n.ref[2]));
    if (ref < 0) continue;
    spatial.ref[list] = ref;
    spatial.mv[list] = choose(n, ref);
  }
  if (spatial.ref[0] < 0 && spatial.ref[1] < 0) {
    spatial.ref[0] = spatial.ref[1] = 0;
    return spatial;
  }
  // Where no reference index is 0 or the vectors are 0 anyway, the co-located picture doesn't matter.
  const bool matters =
      (spatial.ref[0] == 0 && spatial.mv[0] != Mv{}) || (spatial.ref[1] == 0 && spatial.mv[1] != Mv{});
  if (matters && !s.slice->refs.list[1][0].long_term) spatial.still = still_blocks(s, quarters);
  return spatial;
}

// What else the blocks of direct quarters are: vector differences 0, and a shape.
void finish_direct(SliceState& s, unsigned quarters, bool whole) {
  s.cur->direct = uint8_t(s.cur->direct | quarters);
  for (int q = 0; q < 4; ++q)
    if (quarters >> q & 1) s.cur->sub[q] = s.direct8 || whole ? k8x8 : k4x4;
  if (quarters == 15) s.cur->shape = whole ? k16x16 : k8x8;
}

void direct_temporal(SliceState& s, unsigned quarters) {
  const SliceRefs& refs = s.slice->refs;
  const bool field = s.field || s.field_picture;
  const bool other = colocated_is_field(s);
  const int parity = s.header->structure == kFrame ? s.y & 1 : s.header->structure == kBottom;
  for (int q = 0; q < 4; ++q) {
    if (!(quarters >> q & 1)) continue;
    const int x = 2 * (q & 1), y = q & 2;
    const int blocks = s.direct8 ? 1 : 4;
    for (int b = 0; b < blocks; ++b) {
      const int bx = s.direct8 ? 3 * (q & 1) : x + (b & 1), by = s.direct8 ? 3 * (q >> 1) : y + (b >> 1);
      const ColBlock col = colocated_block(s, bx, by);
      const int ref = col.intra ? 0 : map_to_list0(s, col);
      Mv at = col.intra ? Mv{} : col.mv;
      if (field && !other) at.y = int16_t(at.y / 2);
      if (!field && other) at.y = int16_t(at.y * 2);
      const RefEntry& past = refs.list[0][size_t(s.field ? ref >> 1 : ref) & 31];
      const RefEntry& future = refs.list[1][0];
      int32_t now = s.field ? s.poc[parity] : s.field_picture ? s.poc[parity] : s.frame_poc;
      int32_t before = s.field ? past.poc_field[(ref & 1) ^ parity] : past.poc;
      int32_t after = s.field ? future.poc_field[parity] : future.poc;
      const int64_t distance = int64_t(after) - before, passed = int64_t(now) - before;
      Mv first = at, second{};
      if (!past.long_term && distance != 0) {
        const int td = int(std::clamp<int64_t>(distance, -128, 127)), tb = int(std::clamp<int64_t>(passed, -128, 127));
        const int tx = (16384 + std::abs(td / 2)) / td;
        const int scale = std::clamp((tb * tx + 32) >> 6, -1024, 1023);
        first = {int16_t((scale * at.x + 128) >> 8), int16_t((scale * at.y + 128) >> 8)};
        second = {int16_t(first.x - at.x), int16_t(first.y - at.y)};
      }
      const int left = s.direct8 ? x : bx, top = s.direct8 ? y : by, size = s.direct8 ? 2 : 1;
      fill_block(s, 0, left, top, size, size, first, ref);
      fill_block(s, 1, left, top, size, size, second, 0);
    }
  }
  finish_direct(s, quarters, false);
}

}  // namespace

void predict_direct(SliceState& s) {
  if (!s.header->direct_spatial) {
    direct_temporal(s, 15);
    for (int list = 0; list < 2; ++list) store_motion(s, list);
    std::memset(s.ctx->mvd, 0, sizeof s.ctx->mvd);
    return;
  }
  const Spatial spatial = spatial_prediction(s, 15);
  for (int list = 0; list < 2; ++list) {
    set_whole(s, list, spatial.mv[list], spatial.ref[list]);
    if (spatial.ref[list] != 0) continue;
    Mv* mv = s.frame.mv[list] + 16 * s.mb;
    for (unsigned still = spatial.still; still; still &= still - 1) mv[std::countr_zero(still)] = Mv{};
  }
  finish_direct(s, 15, spatial.still == 0);
}

void predict_direct(SliceState& s, unsigned quarters) {
  if (!s.header->direct_spatial) return direct_temporal(s, quarters);
  const Spatial spatial = spatial_prediction(s, quarters);
  for (int list = 0; list < 2; ++list) {
    for (int q = 0; q < 4; ++q)
      if (quarters >> q & 1) fill_block(s, list, 2 * (q & 1), q & 2, 2, 2, spatial.mv[list], spatial.ref[list]);
    if (spatial.ref[list] != 0) continue;
    for (unsigned still = spatial.still; still; still &= still - 1) {
      const int block = std::countr_zero(still);
      s.mv[list][cache_at(block & 3, block >> 2)] = Mv{};
    }
  }
  finish_direct(s, quarters, quarters == 15 && spatial.still == 0);
}

}  // namespace himmel::h264
