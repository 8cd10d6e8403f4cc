// Direct prediction in B slices (8.4.1.2).
#include <algorithm>
#include <bit>
#include <cstdlib>
#include <cstring>

#include "h264/slice_decoder.hpp"

namespace himmel::h264 {

namespace {

// MinPositive() (8.4.1.2.2): references that are not there, negative numbers, are the largest unsigned ones.
int min_positive(int a, int b) { return int(std::min(unsigned(a), unsigned(b))); }

Structure opposite(Structure field) { return field == kTop ? kBottom : kTop; }

}  // namespace

// Whether the co-located macroblocks of the current place are field macroblocks.
bool SliceDecoder::colocated_is_field() const {
  return colocated_.motion && colocated_.motion->mbs[size_t(mb_)].has(kMbField);
}

// The co-located 4x4 block (8.4.1.2.1) of block (x, y) of the current macroblock: Table 8-8 reduces to four cases when fields and frames
// share one raster. With direct_8x8_inference_flag, x and y are corners.
SliceDecoder::ColBlock SliceDecoder::colocated_block(int x, int y) const {
  ColBlock none{true, {}, -1, -1, kNone, -1};
  if (!colocated_.motion) return none;
  const FrameMotion& col = *colocated_.motion;
  const int w = col.width_mbs, row = mb_ / w, pair = mb_ - (row & 1) * w;
  const bool field = field_ || field_picture_, other = colocated_is_field();
  int mb = mb_, block_y = y;
  if (field && other) {
    // A field picture's co-located field has a parity of its own.
    if (field_picture_) {
      const Structure structure = slice_->refs.list[1][0].structure;
      const bool coded_as_field = col.mbs[size_t(pair)].slice != kNoSlice && !(*colocated_.slices)[col.mbs[size_t(pair)].slice].header.mbaff;
      const bool bottom = coded_as_field ? structure == kBottom : header_->structure == kBottom;
      mb = pair + bottom * w;
    }
  } else if (field && !other) {
    mb = pair + (y >> 1) * w;
    block_y = (2 * y) & 3;
    if (y == 3) block_y = 2;
  } else if (!field && other) {
    const RefEntry& first = slice_->refs.list[1][0];
    const int top = std::abs(first.poc_field[0] - frame_poc_), bottom = std::abs(first.poc_field[1] - frame_poc_);
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
  const Slice& slice = (*colocated_.slices)[block.slice];
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
int SliceDecoder::map_to_list0(const ColBlock& col) const {
  const SliceRefs& refs = slice_->refs;
  const bool field = field_ || field_picture_;
  const Structure own = header_->structure == kFrame ? (y_ & 1 ? kBottom : kTop) : header_->structure;
  int64_t wanted = col.frame_key;
  if (field) wanted += (col.structure == kFrame ? own : col.structure) - kFrame;
  for (int i = 0; i < refs.count[0]; ++i) {
    const RefEntry& entry = refs.list[0][size_t(i)];
    if (entry.frame == -1) continue;
    if (!field_) {
      if (picture_key(entry.frame, entry.structure) == wanted) return i;
      continue;
    }
    if (picture_key(entry.frame, own) == wanted) return 2 * i;
    if (picture_key(entry.frame, opposite(own)) == wanted) return 2 * i + 1;
  }
  return 0;
}

// The whole macroblock: B_Skip or B_Direct_16x16.
void SliceDecoder::predict_direct() {
  if (!header_->direct_spatial) {
    direct_temporal(15);
    for (int list = 0; list < 2; ++list) store_motion(list);
    std::memset(ctx_->mvd, 0, sizeof ctx_->mvd);
    return;
  }
  const Spatial spatial = spatial_prediction(15);
  for (int list = 0; list < 2; ++list) {
    set_whole(list, spatial.mv[list], spatial.ref[list]);
    if (spatial.ref[list] != 0) continue;
    Mv* mv = frame_.mv[list] + 16 * mb_;
    for (unsigned still = spatial.still; still; still &= still - 1) mv[std::countr_zero(still)] = Mv{};
  }
  finish_direct(15, spatial.still == 0);
}

// Direct quarters (bits) of a macroblock, into the caches' inner blocks.
void SliceDecoder::predict_direct(unsigned quarters) {
  if (!header_->direct_spatial) return direct_temporal(quarters);
  const Spatial spatial = spatial_prediction(quarters);
  for (int list = 0; list < 2; ++list) {
    for (int q = 0; q < 4; ++q)
      if (quarters >> q & 1) fill_block(list, 2 * (q & 1), q & 2, 2, 2, spatial.mv[list], spatial.ref[list]);
    if (spatial.ref[list] != 0) continue;
    for (unsigned still = spatial.still; still; still &= still - 1) {
      const int block = std::countr_zero(still);
      mv_[list][cache_at(block & 3, block >> 2)] = Mv{};
    }
  }
  finish_direct(quarters, quarters == 15 && spatial.still == 0);
}

// 8.4.1.2.2, the same for all quarters but for those that stand still in the co-located picture.
SliceDecoder::Spatial SliceDecoder::spatial_prediction(unsigned quarters) const {
  Spatial spatial{{-1, -1}, {}, 0};
  for (int list = 0; list < 2; ++list) {
    const Three n = three_neighbours(list);
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
  const bool matters = (spatial.ref[0] == 0 && spatial.mv[0] != Mv{}) || (spatial.ref[1] == 0 && spatial.mv[1] != Mv{});
  if (matters && !slice_->refs.list[1][0].long_term) spatial.still = still_blocks(quarters);
  return spatial;
}

// The 4x4 blocks (bits, raster order) of the given quarters with colZeroFlag, but for the test of RefPicList1[0] (8.4.1.2.2).
unsigned SliceDecoder::still_blocks(unsigned quarters) const {
  const auto stands = [](Mv mv) { return unsigned(mv.x + 1) <= 2 && unsigned(mv.y + 1) <= 2; };
  constexpr unsigned kQuarter[4] = {0x0033, 0x00CC, 0x3300, 0xCC00};
  unsigned still = 0;
  if (!mbaff_ && !field_picture_ && direct8_ && colocated_.motion && !colocated_is_field()) {
    // Frames both: the corners of the macroblock at the same place. Without motion, references are negative.
    const FrameMotion& col = *colocated_.motion;
    if (col.mbs[size_t(mb_)].has(kMbDamaged)) return 0;
    constexpr int kCorner[4] = {0, 3, 12, 15};
    for (int q = 0; q < 4; ++q) {
      if (!(quarters >> q & 1)) continue;
      int list = 0, ref = col.ref[0][4 * mb_ + q];
      if (ref < 0 && col.lists > 1) list = 1, ref = col.ref[1][4 * mb_ + q];
      if (ref == 0 && stands(col.mv[list][16 * mb_ + kCorner[q]])) still |= kQuarter[q];
    }
    return still;
  }
  for (int block = 0; block < 16; ++block) {
    const int x = block & 3, y = block >> 2, q = (y & 2) + (x >> 1);
    if (!(quarters >> q & 1) || (direct8_ && (x % 3 || y % 3))) continue;
    const ColBlock col = colocated_block(x, y);
    if (!col.intra && col.ref == 0 && stands(col.mv)) still |= direct8_ ? kQuarter[q] : 1U << block;
  }
  return still;
}

void SliceDecoder::direct_temporal(unsigned quarters) {
  const SliceRefs& refs = slice_->refs;
  const bool field = field_ || field_picture_;
  const bool other = colocated_is_field();
  const int parity = header_->structure == kFrame ? y_ & 1 : header_->structure == kBottom;
  for (int q = 0; q < 4; ++q) {
    if (!(quarters >> q & 1)) continue;
    const int x = 2 * (q & 1), y = q & 2;
    const int blocks = direct8_ ? 1 : 4;
    for (int b = 0; b < blocks; ++b) {
      const int bx = direct8_ ? 3 * (q & 1) : x + (b & 1), by = direct8_ ? 3 * (q >> 1) : y + (b >> 1);
      const ColBlock col = colocated_block(bx, by);
      const int ref = col.intra ? 0 : map_to_list0(col);
      Mv at = col.intra ? Mv{} : col.mv;
      if (field && !other) at.y = int16_t(at.y / 2);
      if (!field && other) at.y = int16_t(at.y * 2);
      const RefEntry& past = refs.list[0][size_t(field_ ? ref >> 1 : ref) & 31];
      const RefEntry& future = refs.list[1][0];
      int32_t now = field_ ? poc_[parity] : field_picture_ ? poc_[parity] : frame_poc_;
      int32_t before = field_ ? past.poc_field[(ref & 1) ^ parity] : past.poc;
      int32_t after = field_ ? future.poc_field[parity] : future.poc;
      const int64_t distance = int64_t(after) - before, passed = int64_t(now) - before;
      Mv first = at, second{};
      if (!past.long_term && distance != 0) {
        const int td = int(std::clamp<int64_t>(distance, -128, 127)), tb = int(std::clamp<int64_t>(passed, -128, 127));
        const int tx = (16384 + std::abs(td / 2)) / td;
        const int scale = std::clamp((tb * tx + 32) >> 6, -1024, 1023);
        first = {int16_t((scale * at.x + 128) >> 8), int16_t((scale * at.y + 128) >> 8)};
        second = {int16_t(first.x - at.x), int16_t(first.y - at.y)};
      }
      const int left = direct8_ ? x : bx, top = direct8_ ? y : by, size = direct8_ ? 2 : 1;
      fill_block(0, left, top, size, size, first, ref);
      fill_block(1, left, top, size, size, second, 0);
    }
  }
  finish_direct(quarters, false);
}

// What else the blocks of direct quarters are: vector differences 0, and a shape.
void SliceDecoder::finish_direct(unsigned quarters, bool whole) {
  cur_->direct = uint8_t(cur_->direct | quarters);
  for (int q = 0; q < 4; ++q)
    if (quarters >> q & 1) cur_->sub[q] = direct8_ || whole ? k8x8 : k4x4;
  if (quarters == 15) cur_->shape = whole ? k16x16 : k8x8;
}

}  // namespace himmel::h264
