// Prediction of motion vectors (8.4.1.1, 8.4.1.3).
#include <algorithm>
#include <bit>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "h264/slice_decoder.hpp"

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
  const auto of = [](int16_t p, int16_t q, int16_t r) { return std::max(std::min(p, q), std::min(std::max(p, q), r)); };
  const Mv u = std::bit_cast<Mv>(a), v = std::bit_cast<Mv>(b), w = std::bit_cast<Mv>(c);
  return std::bit_cast<uint32_t>(Mv{of(u.x, v.x, w.x), of(u.y, v.y, w.y)});
}
#endif

}  // namespace

// 8.4.1.3.1 with 8.4.1.3, 1.
Mv SliceDecoder::choose(const Three& three, int wanted) {
  const int8_t* ref = three.ref;
  // A stands in for B and C where neither is there.
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

// Reference index and vector of C, or of D where C is not available (8.4.1.3.2).
int SliceDecoder::diagonal(int list, int at, int width, Mv& mv) const {
  const int right = at - 8 + width;
  if (ref_[list][right] != kUnavailable) {
    mv = mv_[list][right];
    return ref_[list][right];
  }
  const int left = at - 9;
  if (mbaff_ && (left & 7) == 3 && left > cache_at(-1, -1)) {
    // Left of the macroblock, above the partition: in mixed pairs not the line that the cache holds.
    const int row = (at - cache_at(0, 0)) / 8;
    const Place place = left_of(4 * row - 1, 16);
    mv = Mv{};
    if (place.mb < 0) return kUnavailable;
    const int y = place.y >> 2;
    int ref = frame_.ref[list][4 * place.mb + 2 * (y >> 1) + 1];
    mv = frame_.mv[list][16 * place.mb + 4 * y + 3];
    if (ref >= 0 && frame_.mbs[size_t(place.mb)].has(kMbField) != field_) {
      ref = field_ ? 2 * ref : ref >> 1;
      mv.y = int16_t(field_ ? mv.y / 2 : mv.y * 2);
    }
    return ref;
  }
  mv = mv_[list][left];
  return ref_[list][left];
}

// Median prediction (8.4.1.3.1) for a partition at cache place `at`, `width` 4x4 blocks wide.
Mv SliceDecoder::median(int list, int at, int width, int ref) const {
  Three three{{ref_[list][at - 1], ref_[list][at - 8], 0}, {mv_[list][at - 1], mv_[list][at - 8], {}}};
  three.ref[2] = int8_t(diagonal(list, at, width, three.mv[2]));
  return choose(three, ref);
}

// A, B and C of the whole macroblock, straight from the frame's arrays.
SliceDecoder::Three SliceDecoder::three_neighbours(int list) const {
  const Neighbours& n = near_;
  const Mv* mv = frame_.mv[list];
  const int8_t* ref = frame_.ref[list];
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
  if (!mbaff_) {
    take(0, n.left[0], 3, 0);
    take(2, c, n.top_right >= 0 ? 0 : 3, 3);
    return three;
  }
  take(0, n.left[0], 3, n.left_row[0]);
  take(2, c, n.top_right >= 0 ? 0 : 3, n.top_right >= 0 ? 3 : n.top_left_row);
  const int from[3] = {n.left[0], n.top, c};
  for (int i = 0; i < 3; ++i) {
    if (three.ref[i] < 0 || frame_.mbs[size_t(from[i])].has(kMbField) == field_) continue;
    three.ref[i] = int8_t(field_ ? three.ref[i] * 2 : three.ref[i] >> 1);
    three.mv[i].y = int16_t(field_ ? three.mv[i].y / 2 : three.mv[i].y * 2);
  }
  return three;
}

SliceDecoder::Whole SliceDecoder::whole_neighbours(int list) const {
  Whole whole{three_neighbours(list), 0, {0, 0}};
  if (!pps_->cabac) return whole;
  const auto add = [&](int mb, int i, int quarter, int row) {
    if (mb < 0) return;
    const Macroblock& other = frame_.mbs[size_t(mb)];
    if (whole.three.ref[i] > 0 && !(other.direct >> quarter & 1)) whole.above_zero |= 1 << i;
    const uint8_t* mvd = scratch_.contexts[size_t(mb)].mvd[list][row];
    int y = mvd[1];
    // 9.3.3.1.1.7: lines of fields and frames.
    if (mbaff_ && other.has(kMbField) != field_) y = field_ ? y >> 1 : std::min(2 * y, 255);
    whole.mvd[0] += mvd[0];
    whole.mvd[1] += y;
  };
  const int y = near_.left_row[0];
  add(near_.left[0], 0, (y & 2) + 1, y == 3 ? 3 : 4 + y);
  add(near_.top, 1, 2, 0);
  return whole;
}

void SliceDecoder::set_whole(int list, Mv mv, int ref) {
  std::fill_n(frame_.mv[list] + 16 * mb_, 16, mv);
  std::fill_n(frame_.ref[list] + 4 * mb_, 4, int8_t(ref));
}

// P_Skip (8.4.1.1).
void SliceDecoder::predict_skip() {
  const Three n = three_neighbours(0);
  Mv mv{};
  const bool still = n.ref[0] == kUnavailable || n.ref[1] == kUnavailable || (n.ref[0] == 0 && n.mv[0] == Mv{}) ||
                     (n.ref[1] == 0 && n.mv[1] == Mv{});
  if (!still) mv = choose(n, 0);
  set_whole(0, mv, 0);
  if (lists_ > 1) set_whole(1, Mv{}, -1);
}

void SliceDecoder::fill_block(int list, int x, int y, int w, int h, Mv mv, int ref) {
  for (int row = y; row < y + h; ++row) {
    std::fill_n(&mv_[list][cache_at(x, row)], w, mv);
    std::fill_n(&ref_[list][cache_at(x, row)], w, int8_t(ref));
  }
}

}  // namespace himmel::h264
