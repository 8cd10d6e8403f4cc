// Direct prediction in B slices (8.4.1.2).
#include <algorithm>
#include <cstdlib>

#include "slice_decoder.hpp"

namespace himmel {

namespace {

int min_positive(int a, int b) { return a >= 0 && b >= 0 ? std::min(a, b) : std::max(a, b); }

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
  if (block.slice == kNoSlice || block.has(kMbIntra)) return none;
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

void SliceDecoder::predict_direct(unsigned quarters) {
  if (header_->direct_spatial)
    direct_spatial(quarters);
  else
    direct_temporal(quarters);
}

// Fills the caches' inner blocks of the given quarters (bits), both lists.
void SliceDecoder::direct_spatial(unsigned quarters) {
  int ref[2];
  Mv mv[2] = {};
  for (int list = 0; list < 2; ++list) {
    const Three n = three_neighbours(list);
    ref[list] = min_positive(n.ref[0], min_positive(n.ref[1], n.ref[2]));
    if (ref[list] < 0) {
      ref[list] = -1;
      continue;
    }
    const bool a = n.ref[0] == ref[list], b = n.ref[1] == ref[list], c = n.ref[2] == ref[list];
    if (a + b + c == 1) {
      mv[list] = a ? n.mv[0] : b ? n.mv[1] : n.mv[2];
    } else if (n.ref[1] == kUnavailable && n.ref[2] == kUnavailable) {
      mv[list] = n.mv[0];
    } else {
      const auto mid = [](int p, int q, int r) { return int16_t(std::max(std::min(p, q), std::min(std::max(p, q), r))); };
      mv[list] = {mid(n.mv[0].x, n.mv[1].x, n.mv[2].x), mid(n.mv[0].y, n.mv[1].y, n.mv[2].y)};
    }
  }
  const bool zero = ref[0] < 0 && ref[1] < 0;
  if (zero) ref[0] = ref[1] = 0;
  // Where no reference index is 0 or the vectors are 0 anyway, the co-located picture doesn't matter.
  const bool matters = !zero && ((ref[0] == 0 && mv[0] != Mv{}) || (ref[1] == 0 && mv[1] != Mv{})) &&
                       !slice_->refs.list[1][0].long_term;
  bool whole = quarters == 15;
  for (int q = 0; q < 4; ++q) {
    if (!(quarters >> q & 1)) continue;
    const int x = 2 * (q & 1), y = q & 2;
    for (int list = 0; list < 2; ++list) fill_block(list, x, y, 2, 2, mv[list], ref[list]);
    if (!matters) continue;
    const int blocks = direct8_ ? 1 : 4;
    for (int b = 0; b < blocks; ++b) {
      const int bx = direct8_ ? 3 * (q & 1) : x + (b & 1), by = direct8_ ? 3 * (q >> 1) : y + (b >> 1);
      const ColBlock col = colocated_block(bx, by);
      if (col.intra || col.ref != 0 || std::abs(col.mv.x) > 1 || std::abs(col.mv.y) > 1) continue;
      whole = false;
      for (int list = 0; list < 2; ++list) {
        if (ref[list] != 0) continue;
        if (direct8_)
          fill_block(list, x, y, 2, 2, Mv{}, 0);
        else
          mv_[list][cache_at(bx, by)] = Mv{};
      }
    }
  }
  finish_direct(quarters, whole);
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

}  // namespace himmel
