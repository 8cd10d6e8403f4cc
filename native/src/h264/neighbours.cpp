#include "h264/neighbours.hpp"

#include <algorithm>
#include <cstring>

namespace himmel::h264 {

namespace {

void find_mbaff_neighbours(SliceState& s) {
  Neighbours& n = s.near;
  const auto or_none = [&](bool inside, int mb) { return inside && available(s, mb) ? mb : -1; };
  const bool left = s.x > 0, right = s.x + 1 < s.frame.width_mbs;
  n.top_left_row = 3;
  // Table 6-4. Pairs first: index of a pair's upper macroblock.
  const int w = s.frame.width_mbs, pair = s.mb - (s.y & 1) * w;
  const bool bottom = s.y & 1, above = s.y > 1;
  const int a = or_none(left, pair - 1), b = or_none(above, pair - 2 * w),
            c = or_none(above && right, pair - 2 * w + 1), d = or_none(above && left, pair - 2 * w - 1);
  const auto is_field = [&](int mb) { return mb >= 0 && s.frame.mbs[size_t(mb)].has(kMbField); };
  // The macroblock of the pair above that touches this one.
  const auto from_above = [&](int p) { return p < 0 ? -1 : (s.field && !bottom && is_field(p)) ? p : p + w; };
  for (int row = 0; row < 4; ++row) {
    const Place place = left_of(s, 4 * row, 16);
    n.left[row] = place.mb, n.left_row[row] = uint8_t(place.y >> 2);
  }
  for (int row = 0; row < 2; ++row) {
    const Place place = left_of(s, 4 * row, 8);
    n.left8[row] = place.mb, n.left8_row[row] = uint8_t(place.y >> 2);
  }
  if (!s.field && bottom) {
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

// 8.4.1.3.1: vectors and reference indices of neighbours of the other kind.
void scale_neighbour(SliceState& s, int list, int at, int mb) {
  if (s.ref[list][at] < 0 || s.frame.mbs[size_t(mb)].has(kMbField) == s.field) return;
  Mv& mv = s.mv[list][at];
  uint8_t& difference = s.mvd[list][at][1];
  if (s.field) {
    s.ref[list][at] = int8_t(s.ref[list][at] * 2);
    mv.y = int16_t(mv.y / 2);
    difference = uint8_t(difference >> 1);
  } else {
    s.ref[list][at] = int8_t(s.ref[list][at] >> 1);
    mv.y = int16_t(mv.y * 2);
    difference = uint8_t(std::min(2 * difference, 255));
  }
}

}  // namespace

Place left_of(const SliceState& s, int y, int height) {
  const int w = s.frame.width_mbs, pair = s.mb - (s.y & 1) * w, bottom = s.y & 1;
  if (s.x == 0 || !available(s, pair - 1)) return {-1, 0};
  const int a = pair - 1;
  const bool other_field = s.frame.mbs[size_t(a)].has(kMbField);
  if (other_field == s.field) return {a + bottom * w, y};
  if (!s.field) {  // frame beside field: lines alternate
    return {a + (y & 1) * w, (y + bottom * height) >> 1};
  }
  const int line = 2 * y + bottom;
  return line < height ? Place{a, line} : Place{a + w, line - height};
}

void find_neighbours(SliceState& s) {
  if (s.mbaff) return find_mbaff_neighbours(s);
  Neighbours& n = s.near;
  const Macroblock* mbs = s.frame.mbs;
  const auto or_none = [&](bool inside, int mb) { return inside && mbs[mb].slice == s.index ? mb : -1; };
  const bool left = s.x > 0, right = s.x + 1 < s.frame.width_mbs, above = s.y > 0;
  const int a = or_none(left, s.mb - 1), b = s.mb - s.stride;
  for (int row = 0; row < 4; ++row) n.left[row] = a, n.left_row[row] = uint8_t(row);
  n.top_left_row = 3;
  n.top = or_none(above, b);
  n.top_right = or_none(above && right, b + 1);
  n.top_left = or_none(above && left, b - 1);
}

void fill_counts(SliceState& s, int plane) {
  // Unavailable: CAVLC takes the other neighbour alone (9.2.1), CABAC a fixed value (9.3.3.1.1.9).
  const uint8_t none = s.pps->cabac ? s.cur->has(kMbIntra) : 0x40;
  uint8_t* cache = s.counts[plane];
  const bool small = plane > 0 && s.planes == 1, eighth = small && s.chroma_rows == 2 && s.mbaff;
  const int rows = small ? s.chroma_rows : 4, column = small ? 1 : 3;
  const MbContext* contexts = s.scratch.contexts.data();
  if (s.near.top >= 0)
    std::memcpy(cache + cache_at(0, -1), contexts[s.near.top].counts + 16 * plane + 4 * (rows - 1), 4);
  else
    std::memset(cache + cache_at(0, -1), none, 4);
  for (int row = 0; row < rows; ++row) {
    const int mb = eighth ? s.near.left8[row] : s.near.left[row];
    const int y = eighth ? s.near.left8_row[row] : s.near.left_row[row];
    cache[cache_at(-1, row)] = mb < 0 ? none : contexts[mb].counts[16 * plane + 4 * y + column];
  }
}

void fill_motion(SliceState& s, int list) {
  const Mv* mv = s.frame.mv[list];
  const int8_t* ref = s.frame.ref[list];
  const bool cabac = s.pps->cabac;
  const auto take = [&](int at, int mb, int x, int y) {
    if (mb < 0) {
      s.ref[list][at] = kUnavailable;
      s.mv[list][at] = Mv{};
      return;
    }
    s.ref[list][at] = ref[4 * mb + 2 * (y >> 1) + (x >> 1)];
    s.mv[list][at] = mv[16 * mb + 4 * y + x];
  };
  const int top = s.near.top;
  uint8_t (*difference)[2] = s.mvd[list];
  if (top >= 0) {
    std::memcpy(&s.mv[list][cache_at(0, -1)], mv + 16 * top + 12, 4 * sizeof(Mv));
    const int8_t left = ref[4 * top + 2], right = ref[4 * top + 3];
    int8_t* row = &s.ref[list][cache_at(0, -1)];
    row[0] = row[1] = left, row[2] = row[3] = right;
    if (cabac) std::memcpy(difference[cache_at(0, -1)], s.scratch.contexts[size_t(top)].mvd[list], 8);
  } else {
    std::memset(&s.ref[list][cache_at(0, -1)], kUnavailable, 4);
    std::memset(static_cast<void*>(&s.mv[list][cache_at(0, -1)]), 0, 4 * sizeof(Mv));
    if (cabac) std::memset(difference[cache_at(0, -1)], 0, 8);
  }
  take(cache_at(4, -1), s.near.top_right, 0, 3);
  take(cache_at(-1, -1), s.near.top_left, 3, s.near.top_left_row);
  for (int row = 0; row < 4; ++row) {
    const int at = cache_at(-1, row), mb = s.near.left[row], y = s.near.left_row[row];
    take(at, mb, 3, y);
    if (!cabac) continue;
    if (mb < 0)
      difference[at][0] = difference[at][1] = 0;
    else
      std::memcpy(difference[at], s.scratch.contexts[size_t(mb)].mvd[list][y == 3 ? 3 : 4 + y], 2);
  }
  // Right of the macroblock, and blocks 4 and 12 seen from blocks 1 and 9: decoded later.
  s.ref[list][cache_at(4, 0)] = s.ref[list][cache_at(4, 1)] = kUnavailable;
  s.ref[list][cache_at(4, 2)] = s.ref[list][cache_at(4, 3)] = kUnavailable;
  s.ref[list][cache_at(2, 0)] = s.ref[list][cache_at(2, 2)] = kUnavailable;
  if (!s.mbaff) return;
  if (top >= 0)
    for (int x = 0; x < 4; ++x) scale_neighbour(s, list, cache_at(x, -1), top);
  for (int row = 0; row < 4; ++row)
    if (s.near.left[row] >= 0) scale_neighbour(s, list, cache_at(-1, row), s.near.left[row]);
  if (s.near.top_right >= 0) scale_neighbour(s, list, cache_at(4, -1), s.near.top_right);
  if (s.near.top_left >= 0) scale_neighbour(s, list, cache_at(-1, -1), s.near.top_left);
}

void store_motion(SliceState& s, int list) {
  Mv* mv = s.frame.mv[list] + 16 * s.mb;
  for (int y = 0; y < 4; ++y) std::memcpy(mv + 4 * y, &s.mv[list][cache_at(0, y)], 4 * sizeof(Mv));
  int8_t* ref = s.frame.ref[list] + 4 * s.mb;
  for (int q = 0; q < 4; ++q) ref[q] = s.ref[list][cache_at(2 * (q & 1), q & 2)];
  if (!s.pps->cabac) return;
  std::memcpy(s.ctx->mvd[list], s.mvd[list][cache_at(0, 3)], 8);
  for (int y = 0; y < 3; ++y) std::memcpy(s.ctx->mvd[list][4 + y], s.mvd[list][cache_at(3, y)], 2);
}

}  // namespace himmel::h264
