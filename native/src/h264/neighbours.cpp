// Neighbouring macroblocks and blocks (6.4.8 to 6.4.12), and what is copied from them.
#include <algorithm>
#include <cstring>

#include "h264/slice_decoder.hpp"

namespace himmel::h264 {

void SliceDecoder::find_neighbours() {
  if (mbaff_) return find_mbaff_neighbours();
  Neighbours& n = near_;
  const Macroblock* mbs = frame_.mbs;
  const auto or_none = [&](bool inside, int mb) { return inside && mbs[mb].slice == index_ ? mb : -1; };
  const bool left = x_ > 0, right = x_ + 1 < frame_.width_mbs, above = y_ > 0;
  const int a = or_none(left, mb_ - 1), b = mb_ - stride_;
  for (int row = 0; row < 4; ++row) n.left[row] = a, n.left_row[row] = uint8_t(row);
  n.top_left_row = 3;
  n.top = or_none(above, b);
  n.top_right = or_none(above && right, b + 1);
  n.top_left = or_none(above && left, b - 1);
}

void SliceDecoder::find_mbaff_neighbours() {
  Neighbours& n = near_;
  const auto or_none = [&](bool inside, int mb) { return inside && available(mb) ? mb : -1; };
  const bool left = x_ > 0, right = x_ + 1 < frame_.width_mbs;
  n.top_left_row = 3;
  // Table 6-4. Pairs first: index of a pair's upper macroblock.
  const int w = frame_.width_mbs, pair = mb_ - (y_ & 1) * w;
  const bool bottom = y_ & 1, above = y_ > 1;
  const int a = or_none(left, pair - 1), b = or_none(above, pair - 2 * w), c = or_none(above && right, pair - 2 * w + 1),
            d = or_none(above && left, pair - 2 * w - 1);
  const auto is_field = [&](int mb) { return mb >= 0 && frame_.mbs[size_t(mb)].has(kMbField); };
  // The macroblock of the pair above that touches this one.
  const auto from_above = [&](int p) { return p < 0 ? -1 : (field_ && !bottom && is_field(p)) ? p : p + w; };
  for (int row = 0; row < 4; ++row) {
    const Place place = left_of(4 * row, 16);
    n.left[row] = place.mb, n.left_row[row] = uint8_t(place.y >> 2);
  }
  for (int row = 0; row < 2; ++row) {
    const Place place = left_of(4 * row, 8);
    n.left8[row] = place.mb, n.left8_row[row] = uint8_t(place.y >> 2);
  }
  if (!field_ && bottom) {
    n.top = pair;
    n.top_right = -1;
    // Line 15 of a pair of fields is line 7 of its bottom field.
    n.top_left = is_field(a) ? a + w : a;
    if (is_field(a)) n.top_left_row = 1;
  } else {
    n.top = from_above(b);
    n.top_right = from_above(c);
    n.top_left = from_above(d);
  }
}

// Where the luma (height 16) or chroma line y left of the current macroblock of an MBAFF frame lies (Table 6-4, xN < 0).
SliceDecoder::Place SliceDecoder::left_of(int y, int height) const {
  const int w = frame_.width_mbs, pair = mb_ - (y_ & 1) * w, bottom = y_ & 1;
  if (x_ == 0 || !available(pair - 1)) return {-1, 0};
  const int a = pair - 1;
  const bool other_field = frame_.mbs[size_t(a)].has(kMbField);
  if (other_field == field_) return {a + bottom * w, y};
  if (!field_) {  // frame beside field: lines alternate
    return {a + (y & 1) * w, (y + bottom * height) >> 1};
  }
  const int line = 2 * y + bottom;
  return line < height ? Place{a, line} : Place{a + w, line - height};
}

// Counts of the blocks above and left of the macroblock.
void SliceDecoder::fill_counts(int plane) {
  // Unavailable: CAVLC takes the other neighbour alone (9.2.1), CABAC a fixed value (9.3.3.1.1.9).
  const uint8_t none = pps_->cabac ? cur_->has(kMbIntra) : 0x40;
  uint8_t* cache = counts_[plane];
  const bool small = plane > 0 && planes_ == 1, eighth = small && chroma_rows_ == 2 && mbaff_;
  const int rows = small ? chroma_rows_ : 4, column = small ? 1 : 3;
  const MbContext* contexts = scratch_.contexts.data();
  if (near_.top >= 0)
    std::memcpy(cache + cache_at(0, -1), contexts[near_.top].counts + 16 * plane + 4 * (rows - 1), 4);
  else
    std::memset(cache + cache_at(0, -1), none, 4);
  for (int row = 0; row < rows; ++row) {
    const int mb = eighth ? near_.left8[row] : near_.left[row];
    const int y = eighth ? near_.left8_row[row] : near_.left_row[row];
    cache[cache_at(-1, row)] = mb < 0 ? none : contexts[mb].counts[16 * plane + 4 * y + column];
  }
}

// 8.4.1.3.1: vectors and reference indices of neighbours of the other kind.
void SliceDecoder::scale_neighbour(int list, int at, int mb) {
  if (ref_[list][at] < 0 || frame_.mbs[size_t(mb)].has(kMbField) == field_) return;
  Mv& mv = mv_[list][at];
  uint8_t& difference = mvd_[list][at][1];
  if (field_) {
    ref_[list][at] = int8_t(ref_[list][at] * 2);
    mv.y = int16_t(mv.y / 2);
    difference = uint8_t(difference >> 1);
  } else {
    ref_[list][at] = int8_t(ref_[list][at] >> 1);
    mv.y = int16_t(mv.y * 2);
    difference = uint8_t(std::min(2 * difference, 255));
  }
}

void SliceDecoder::fill_motion(int list) {
  const Mv* mv = frame_.mv[list];
  const int8_t* ref = frame_.ref[list];
  const bool cabac = pps_->cabac;
  const auto take = [&](int at, int mb, int x, int y) {
    if (mb < 0) {
      ref_[list][at] = kUnavailable;
      mv_[list][at] = Mv{};
      return;
    }
    ref_[list][at] = ref[4 * mb + 2 * (y >> 1) + (x >> 1)];
    mv_[list][at] = mv[16 * mb + 4 * y + x];
  };
  const int top = near_.top;
  uint8_t(*difference)[2] = mvd_[list];
  if (top >= 0) {
    std::memcpy(&mv_[list][cache_at(0, -1)], mv + 16 * top + 12, 4 * sizeof(Mv));
    const int8_t left = ref[4 * top + 2], right = ref[4 * top + 3];
    int8_t* row = &ref_[list][cache_at(0, -1)];
    row[0] = row[1] = left, row[2] = row[3] = right;
    if (cabac) std::memcpy(difference[cache_at(0, -1)], scratch_.contexts[size_t(top)].mvd[list], 8);
  } else {
    std::memset(&ref_[list][cache_at(0, -1)], kUnavailable, 4);
    std::memset(static_cast<void*>(&mv_[list][cache_at(0, -1)]), 0, 4 * sizeof(Mv));
    if (cabac) std::memset(difference[cache_at(0, -1)], 0, 8);
  }
  take(cache_at(4, -1), near_.top_right, 0, 3);
  take(cache_at(-1, -1), near_.top_left, 3, near_.top_left_row);
  for (int row = 0; row < 4; ++row) {
    const int at = cache_at(-1, row), mb = near_.left[row], y = near_.left_row[row];
    take(at, mb, 3, y);
    if (!cabac) continue;
    if (mb < 0)
      difference[at][0] = difference[at][1] = 0;
    else
      std::memcpy(difference[at], scratch_.contexts[size_t(mb)].mvd[list][y == 3 ? 3 : 4 + y], 2);
  }
  // Right of the macroblock, and blocks 4 and 12 seen from blocks 1 and 9: decoded later.
  ref_[list][cache_at(4, 0)] = ref_[list][cache_at(4, 1)] = kUnavailable;
  ref_[list][cache_at(4, 2)] = ref_[list][cache_at(4, 3)] = kUnavailable;
  ref_[list][cache_at(2, 0)] = ref_[list][cache_at(2, 2)] = kUnavailable;
  if (!mbaff_) return;
  if (top >= 0)
    for (int x = 0; x < 4; ++x) scale_neighbour(list, cache_at(x, -1), top);
  for (int row = 0; row < 4; ++row)
    if (near_.left[row] >= 0) scale_neighbour(list, cache_at(-1, row), near_.left[row]);
  if (near_.top_right >= 0) scale_neighbour(list, cache_at(4, -1), near_.top_right);
  if (near_.top_left >= 0) scale_neighbour(list, cache_at(-1, -1), near_.top_left);
}

void SliceDecoder::store_motion(int list) {
  Mv* mv = frame_.mv[list] + 16 * mb_;
  for (int y = 0; y < 4; ++y) std::memcpy(mv + 4 * y, &mv_[list][cache_at(0, y)], 4 * sizeof(Mv));
  int8_t* ref = frame_.ref[list] + 4 * mb_;
  for (int q = 0; q < 4; ++q) ref[q] = ref_[list][cache_at(2 * (q & 1), q & 2)];
  if (!pps_->cabac) return;
  std::memcpy(ctx_->mvd[list], mvd_[list][cache_at(0, 3)], 8);
  for (int y = 0; y < 3; ++y) std::memcpy(ctx_->mvd[list][4 + y], mvd_[list][cache_at(3, y)], 2);
}

}  // namespace himmel::h264
