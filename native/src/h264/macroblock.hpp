// The macroblock layer (7.3.5), written once for both entropy coders: `Syntax` reads one syntax element each.
// Included by syntax_cabac.cpp and syntax_cavlc.cpp alone. Every parse_ function returns false where the syntax is
// broken.
#pragma once

#include <algorithm>
#include <cstring>

#include "h264/direct.hpp"
#include "h264/macroblock_steps.hpp"
#include "h264/mb_types.hpp"
#include "h264/neighbours.hpp"
#include "h264/residual.hpp"
#include "h264/vectors.hpp"

namespace himmel::h264 {

template <class Syntax>
bool parse_macroblock(SliceState& s, Syntax syntax) {
  const int type = syntax.mb_type();
  const int intra = s.is_intra ? 0 : s.is_b ? kIntraInB : kIntraInP;
  if (type < 0 || type > intra + kIntraPcm) return false;
  return type >= intra ? parse_intra(s, syntax, type - intra) : parse_inter(s, syntax, type);
}

template <class Syntax>
bool parse_intra(SliceState& s, Syntax syntax, int type) {
  for (int list = 0; list < s.lists; ++list) set_whole(s, list, Mv{}, -1);
  s.cur->flags |= kMbIntra;
  if (type == kIntraPcm) return parse_pcm(s);
  if (type == 0) {
    s.cur->flags |= kMbIntraNxN;
    if (s.pps->transform_8x8_mode && syntax.transform_8x8()) s.cur->flags |= kMbTransform8x8;
    syntax.intra_modes(s.cur->has(kMbTransform8x8) ? 4 : 16);
  } else {
    s.cur->flags |= kMbIntra16x16;
    s.cur->cbp = uint8_t((type > 12 ? 15 : 0) | ((type - 1) / 4 % 3) << 4);
  }
  if (s.chroma_rows > 0) {
    const int mode = syntax.chroma_mode();
    if (mode < 0 || mode > 3) return false;
    s.ctx->chroma_mode = uint8_t(mode);
  }
  if (type == 0) {
    const int cbp = syntax.coded_block_pattern(true);
    if (cbp < 0) return false;
    s.cur->cbp = uint8_t(cbp);
    if (cbp == 0) {
      s.last_qp_delta = 0;
      return true;
    }
  }
  return parse_residual(s, syntax);
}

template <class Syntax>
bool parse_inter(SliceState& s, Syntax syntax, int type) {
  const int lists = s.is_b ? 2 : 1;
  bool small = false;  // a partition below 8x8, or a direct one that may be
  if (s.is_b && type == 0) {
    s.cur->flags |= kMbDirect;
    predict_direct(s);
    small = !s.direct8;
  } else {
    const InterType& inter = s.is_b ? kBTypes[type] : kPTypes[type];
    s.cur->shape = inter.shape;
    if (inter.shape == k16x16) {
      if (!parse_whole(s, syntax, inter.lists[0])) return false;
    } else {
      for (int list = 0; list < lists; ++list) fill_motion(s, list);
      if (Syntax::kCabac) syntax.mark_direct_neighbours();
      if (inter.shape == k8x8) {
        syntax.ref0 = !s.is_b && type == 4;
        if (!parse_sub_macroblocks(s, syntax, lists)) return false;
        for (int q = 0; q < 4; ++q) small |= s.cur->direct >> q & 1 ? !s.direct8 : s.cur->sub[q] != k8x8;
      } else if (!parse_partitions(s, syntax, inter)) {
        return false;
      }
    }
  }
  for (int list = lists; list < s.lists; ++list) set_whole(s, list, Mv{}, -1);
  const int cbp = syntax.coded_block_pattern(false);
  if (cbp < 0) return false;
  s.cur->cbp = uint8_t(cbp);
  if ((cbp & 15) && s.pps->transform_8x8_mode && !small && syntax.transform_8x8()) s.cur->flags |= kMbTransform8x8;
  if (cbp == 0) {
    s.last_qp_delta = 0;
    return true;
  }
  return parse_residual(s, syntax);
}

// One partition of 16x16: most macroblocks that are neither skipped nor direct. No cache is filled.
template <class Syntax>
bool parse_whole(SliceState& s, Syntax syntax, int used) {
  const int lists = s.is_b ? 2 : 1;
  Whole near[2];
  int ref[2] = {-1, -1};
  for (int list = 0; list < lists; ++list) {
    if (!(used >> list & 1)) continue;
    near[list] = whole_neighbours(s, list);
    ref[list] = syntax.ref_idx(list, near[list].above_zero);
    if (ref[list] < 0) return false;
  }
  for (int list = 0; list < lists; ++list) {
    Mv mv{};
    if (ref[list] >= 0) {
      mv = choose(near[list].three, ref[list]);
      syntax.mvd_whole(list, near[list], mv);
    }
    set_whole(s, list, mv, ref[list]);
  }
  return true;
}

// Two partitions, 16x8 or 8x16.
template <class Syntax>
bool parse_partitions(SliceState& s, Syntax syntax, const InterType& inter) {
  const int lists = s.is_b ? 2 : 1;
  const bool wide = inter.shape == k16x8;
  const int w = wide ? 4 : 2, h = wide ? 2 : 4;
  syntax.mark_direct(0);
  int refs[2][2];
  for (int list = 0; list < lists; ++list)
    for (int part = 0; part < 2; ++part) {
      const int x = wide ? 0 : 2 * part, y = wide ? 2 * part : 0;
      int ref = -1;
      if (inter.lists[part] >> list & 1) {
        ref = syntax.ref_idx(list, x, y);
        if (ref < 0) return false;
      }
      refs[list][part] = ref;
      for (int row = y; row < y + h; ++row) std::fill_n(&s.ref[list][cache_at(x, row)], w, int8_t(ref));
    }
  for (int list = 0; list < lists; ++list) {
    for (int part = 0; part < 2; ++part) {
      const int x = wide ? 0 : 2 * part, y = wide ? 2 * part : 0, at = cache_at(x, y);
      const int ref = refs[list][part];
      Mv mv{};
      if (ref >= 0) {
        // 8.4.1.3: directional prediction first.
        Mv other{};
        if (wide && part == 0 && s.ref[list][at - 8] == ref)
          mv = s.mv[list][at - 8];
        else if (wide == (part == 1) && s.ref[list][at - 1] == ref)
          mv = s.mv[list][at - 1];
        else if (!wide && part == 1 && diagonal(s, list, at, 2, other) == ref)
          mv = other;
        else
          mv = median(s, list, at, w, ref);
        syntax.mvd(list, x, y, w, h, mv);
      } else {
        syntax.no_mvd(list, x, y, w, h);
      }
      for (int row = y; row < y + h; ++row) std::fill_n(&s.mv[list][cache_at(x, row)], w, mv);
    }
    store_motion(s, list);
  }
  return true;
}

template <class Syntax>
bool parse_sub_macroblocks(SliceState& s, Syntax syntax, int lists) {
  uint8_t used[4];
  unsigned direct = 0;
  for (int q = 0; q < 4; ++q) {
    const int type = syntax.sub_mb_type();
    if (type < 0 || type > (s.is_b ? 12 : 3)) return false;
    const SubType& sub = s.is_b ? kBSubTypes[type] : kPSubTypes[type];
    used[q] = sub.lists;
    s.cur->sub[q] = sub.shape;
    if (!sub.lists) direct |= 1u << q;
  }
  if (direct) {
    predict_direct(s, direct);
    s.cur->shape = k8x8;
  }
  syntax.mark_direct(direct);
  int8_t refs[2][4];
  for (int list = 0; list < lists; ++list)
    for (int q = 0; q < 4; ++q) {
      const int x = 2 * (q & 1), y = q & 2, at = cache_at(x, y);
      int ref = -1;
      if (direct >> q & 1) {
        refs[list][q] = s.ref[list][at];
        syntax.no_mvd(list, x, y, 2, 2);
        continue;
      }
      if (used[q] >> list & 1) {
        ref = syntax.ref_idx(list, x, y);
        if (ref < 0) return false;
      }
      refs[list][q] = int8_t(ref);
      for (int i : {0, 1, 8, 9}) s.ref[list][at + i] = int8_t(ref);
    }
  for (int list = 0; list < lists; ++list) {
    s.ref[list][cache_at(2, 0)] = s.ref[list][cache_at(2, 2)] = kUnavailable;
    for (int q = 0; q < 4; ++q) {
      const int x = 2 * (q & 1), y = q & 2, at = cache_at(x, y), ref = refs[list][q];
      s.ref[list][at] = int8_t(ref);
      if (direct >> q & 1) continue;
      if (ref < 0) {
        fill_block(s, list, x, y, 2, 2, Mv{}, -1);
        syntax.no_mvd(list, x, y, 2, 2);
        continue;
      }
      const int shape = s.cur->sub[q];
      const int w = shape == k4x8 || shape == k4x4 ? 1 : 2, h = shape == k8x4 || shape == k4x4 ? 1 : 2;
      for (int by = y; by < y + 2; by += h)
        for (int bx = x; bx < x + 2; bx += w) {
          Mv mv = median(s, list, cache_at(bx, by), w, ref);
          syntax.mvd(list, bx, by, w, h, mv);
          for (int row = by; row < by + h; ++row) std::fill_n(&s.mv[list][cache_at(bx, row)], w, mv);
        }
    }
    store_motion(s, list);
  }
  return true;
}

template <class Syntax>
bool parse_residual(SliceState& s, Syntax syntax) {
  const int depth = 6 * (s.sps->bit_depth_luma - 8);
  const int delta = syntax.qp_delta();
  if (delta < -(26 + depth / 2) || delta > 25 + depth / 2) return false;
  s.last_qp_delta = delta;
  s.qp = (s.qp + delta + 52 + 2 * depth) % (52 + depth) - depth;
  s.cur->qp = int8_t(s.qp);
  if (s.sps->qpprime_y_zero_transform_bypass && s.qp + depth == 0) s.cur->flags |= kMbBypass;

  const bool keep = s.sink && !s.cur->has(kMbIntra);
  if (!keep) return syntax.template residual<false>();
  s.sink->start(*s.header, *s.cur, s.x, s.mb / s.frame.width_mbs, s.field);
  if (!syntax.template residual<true>()) return false;
  s.sink->finish();
  return true;
}

// residual() (7.3.5.3). `Blocks` reads one block each.
template <class Blocks>
bool read_blocks(SliceState& s, bool keep) {
  Blocks blocks(s);
  if ((s.cur->cbp & 15) || s.cur->has(kMbIntra16x16))
    for (int plane = 0; plane < s.planes; ++plane)
      if (!read_luma(s, blocks, plane, keep)) return false;
  return s.chroma_rows == 0 || !(s.cur->cbp >> 4) || read_chroma(s, blocks, keep);
}

template <class Blocks>
[[gnu::always_inline]] inline bool read_luma(SliceState& s, Blocks& blocks, int plane, bool keep) {
  fill_counts(s, plane);
  uint8_t* counts = s.counts[plane];
  for (int y = 0; y < 4; ++y) std::memset(counts + cache_at(0, y), 0, 4);
  const bool whole = s.cur->has(kMbIntra16x16);
  if (whole) {
    const int dc = blocks.luma_dc(plane);
    if (dc < 0) return false;
    if (dc > 0) s.ctx->dc_coded = uint8_t(s.ctx->dc_coded | 1 << plane);
  }
  for (int q = 0; q < 4; ++q) {
    if (!(s.cur->cbp >> q & 1)) continue;
    const int x = 2 * (q & 1), y = q & 2;
    if (s.cur->has(kMbTransform8x8)) {
      if (!blocks.luma_8x8(plane, x, y)) return false;
      continue;
    }
    for (int b = 0; b < 4; ++b) {
      const int bx = x + (b & 1), by = y + (b >> 1);
      const int count = blocks.luma_4x4(plane, bx, by, whole);
      if (count < 0) return false;
      counts[cache_at(bx, by)] = Blocks::kept(count);
      if (count > 0 && keep) s.sink->luma_4x4(plane, bx, by, s.levels);
    }
  }
  for (int y = 0; y < 4; ++y) std::memcpy(s.ctx->counts + 16 * plane + 4 * y, counts + cache_at(0, y), 4);
  return true;
}

template <class Blocks>
[[gnu::always_inline]] inline bool read_chroma(SliceState& s, Blocks& blocks, bool keep) {
  for (int plane = 1; plane < 3; ++plane) {
    const int count = blocks.chroma_dc(plane);
    if (count < 0) return false;
    if (count == 0) continue;
    s.ctx->dc_coded = uint8_t(s.ctx->dc_coded | 1 << plane);
    if (keep) s.sink->chroma_dc(plane, s.levels);
  }
  if (!(s.cur->cbp >> 5)) return true;
  for (int plane = 1; plane < 3; ++plane) {
    fill_counts(s, plane);
    for (int b = 0; b < 2 * s.chroma_rows; ++b) {
      const int bx = b & 1, by = b >> 1;
      const int count = blocks.chroma_ac(plane, bx, by);
      if (count < 0) return false;
      s.counts[plane][cache_at(bx, by)] = s.ctx->counts[16 * plane + 4 * by + bx] = Blocks::kept(count);
      if (count > 0 && keep) s.sink->chroma_ac(plane, bx, by, s.levels);
    }
  }
  return true;
}

}  // namespace himmel::h264
