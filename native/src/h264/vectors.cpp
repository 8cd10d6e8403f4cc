#include "h264/vectors.hpp"

#include <algorithm>
#include <bit>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "h264/neighbours.hpp"

namespace himmel::h264 {

namespace {

// The median of each component. Which is the middle one can't be foretold: no branches.
#ifdef __SSE2__
uint32_t middle(uint32_t a, uint32_t b, uint32_t c) {
  const __m128i va = _mm_cvtsi32_si128(int(a)), vb = _mm_cvtsi32_si128(int(b)), vc = _mm_cvtsi32_si128(int(c));
  const __m128i low = _mm_min_epi16(va, vb), high = _mm_max_epi16(va, vb);
  return uint32_t(_mm_cvtsi128_si32(_mm_max_epi16(low, _mm_min_epi16(high, vc))));
}
#else
uint32_t middle(uint32_t a, uint32_t b, uint32_t c) {
  const auto of = [](int16_t p, int16_t q, int16_t r) {
    return std::max(std::min(p, q), std::min(std::max(p, q), r));
  };
  const Mv u = std::bit_cast<Mv>(a), v = std::bit_cast<Mv>(b), w = std::bit_cast<Mv>(c);
  return std::bit_cast<uint32_t>(Mv{of(u.x, v.x, w.x), of(u.y, v.y, w.y)});
}
#endif

}  // namespace

Mv choose(const Three& three, int wanted) {
  const int8_t* ref = three.ref;
  // A is used for B and C if neither is there.
  const bool alone = ref[1] == kUnavailable && ref[2] == kUnavailable && ref[0] != kUnavailable;
  const bool same[3] = {ref[0] == wanted || alone, ref[1] == wanted, ref[2] == wanted};
  uint32_t mv[3], only = 0;
  for (int i = 0; i < 3; ++i) {
    mv[i] = std::bit_cast<uint32_t>(three.mv[i]);
    only |= -uint32_t(same[i]) & mv[i];
  }
  const uint32_t one = -uint32_t(same[0] + same[1] + same[2] == 1);
  return std::bit_cast<Mv>((one & only) | (~one & middle(mv[0], mv[1], mv[2])));
}

int diagonal(const SliceState& s, int list, int at, int width, Mv& mv) {
  const int right = at - 8 + width;
  if (s.ref[list][right] != kUnavailable) {
    mv = s.mv[list][right];
    return s.ref[list][right];
  }
  const int left = at - 9;
  if (s.mbaff && (left & 7) == 3 && left > cache_at(-1, -1)) {
    // Left of the macroblock, above the partition: in mixed pairs not the line that the cache holds.
    const int row = (at - cache_at(0, 0)) / 8;
    const Place place = left_of(s, 4 * row - 1, 16);
    mv = Mv{};
    if (place.mb < 0) return kUnavailable;
    const int y = place.y >> 2;
    int ref = s.frame.ref[list][4 * place.mb + 2 * (y >> 1) + 1];
    mv = s.frame.mv[list][16 * place.mb + 4 * y + 3];
    if (ref >= 0 && s.frame.mbs[size_t(place.mb)].has(kMbField) != s.field) {
      ref = s.field ? 2 * ref : ref >> 1;
      mv.y = int16_t(s.field ? mv.y / 2 : mv.y * 2);
    }
    return ref;
  }
  mv = s.mv[list][left];
  return s.ref[list][left];
}

Mv median(const SliceState& s, int list, int at, int width, int ref) {
  Three three{{s.ref[list][at - 1], s.ref[list][at - 8], 0}, {s.mv[list][at - 1], s.mv[list][at - 8], {}}};
  three.ref[2] = int8_t(diagonal(s, list, at, width, three.mv[2]));
  return choose(three, ref);
}

Three three_neighbours(const SliceState& s, int list) {
  const Neighbours& n = s.near;
  const Mv* mv = s.frame.mv[list];
  const int8_t* ref = s.frame.ref[list];
  Three three;
  const auto take = [&](int i, int mb, int x, int y) {
    if (mb < 0) {
      three.ref[i] = kUnavailable;
      three.mv[i] = Mv{};
      return;
    }
    three.ref[i] = ref[4 * mb + 2 * (y >> 1) + (x >> 1)];
    three.mv[i] = mv[16 * mb + 4 * y + x];
  };
  take(1, n.top, 0, 3);
  const int c = n.top_right >= 0 ? n.top_right : n.top_left;
  if (!s.mbaff) {
    take(0, n.left[0], 3, 0);
    take(2, c, n.top_right >= 0 ? 0 : 3, 3);
    return three;
  }
  take(0, n.left[0], 3, n.left_row[0]);
  take(2, c, n.top_right >= 0 ? 0 : 3, n.top_right >= 0 ? 3 : n.top_left_row);
  const int from[3] = {n.left[0], n.top, c};
  for (int i = 0; i < 3; ++i) {
    if (three.ref[i] < 0 || s.frame.mbs[size_t(from[i])].has(kMbField) == s.field) continue;
    three.ref[i] = int8_t(s.field ? three.ref[i] * 2 : three.ref[i] >> 1);
    three.mv[i].y = int16_t(s.field ? three.mv[i].y / 2 : three.mv[i].y * 2);
  }
  return three;
}

Whole whole_neighbours(const SliceState& s, int list) {
  Whole whole{three_neighbours(s, list), 0, {0, 0}};
  if (!s.pps->cabac) return whole;
  const auto add = [&](int mb, int i, int quarter, int row) {
    if (mb < 0) return;
    const Macroblock& other = s.frame.mbs[size_t(mb)];
    if (whole.three.ref[i] > 0 && !(other.direct >> quarter & 1)) whole.above_zero |= 1 << i;
    const uint8_t* mvd = s.scratch.contexts[size_t(mb)].mvd[list][row];
    int y = mvd[1];
    // 9.3.3.1.1.7: lines of fields and frames.
    if (s.mbaff && other.has(kMbField) != s.field) y = s.field ? y >> 1 : std::min(2 * y, 255);
    whole.mvd[0] += mvd[0];
    whole.mvd[1] += y;
  };
  const int y = s.near.left_row[0];
  add(s.near.left[0], 0, (y & 2) + 1, y == 3 ? 3 : 4 + y);
  add(s.near.top, 1, 2, 0);
  return whole;
}

void set_whole(SliceState& s, int list, Mv mv, int ref) {
  std::fill_n(s.frame.mv[list] + 16 * s.mb, 16, mv);
  std::fill_n(s.frame.ref[list] + 4 * s.mb, 4, int8_t(ref));
}

void predict_skip(SliceState& s) {
  const Three n = three_neighbours(s, 0);
  Mv mv{};
  const bool still = n.ref[0] == kUnavailable || n.ref[1] == kUnavailable || (n.ref[0] == 0 && n.mv[0] == Mv{}) ||
                     (n.ref[1] == 0 && n.mv[1] == Mv{});
  if (!still) mv = choose(n, 0);
  set_whole(s, 0, mv, 0);
  if (s.lists > 1) set_whole(s, 1, Mv{}, -1);
}

void fill_block(SliceState& s, int list, int x, int y, int w, int h, Mv mv, int ref) {
  for (int row = y; row < y + h; ++row) {
    std::fill_n(&s.mv[list][cache_at(x, row)], w, mv);
    std::fill_n(&s.ref[list][cache_at(x, row)], w, int8_t(ref));
  }
}

}  // namespace himmel::h264
