// The macroblock layer (7.3.5), written once for both entropy coders: `Syntax` reads one syntax element each.
// Included by syntax_cabac.cpp and syntax_cavlc.cpp alone. Every parse_ function returns false where the syntax is broken.
#pragma once

#include <algorithm>
#include <cstring>

#include "h264/mb_types.hpp"
#include "h264/residual.hpp"
#include "h264/slice_decoder.hpp"

namespace himmel::h264 {

template <class Syntax>
bool SliceDecoder::parse_macroblock(Syntax syntax) {
  const int type = syntax.mb_type();
  const int intra = is_intra_ ? 0 : is_b_ ? kIntraInB : kIntraInP;
  if (type < 0 || type > intra + kIntraPcm) return false;
  return type >= intra ? parse_intra(syntax, type - intra) : parse_inter(syntax, type);
}

template <class Syntax>
bool SliceDecoder::parse_intra(Syntax syntax, int type) {
  for (int list = 0; list < lists_; ++list) set_whole(list, Mv{}, -1);
  cur_->flags |= kMbIntra;
  if (type == kIntraPcm) return parse_pcm();
  if (type == 0) {
    cur_->flags |= kMbIntraNxN;
    if (pps_->transform_8x8_mode && syntax.transform_8x8()) cur_->flags |= kMbTransform8x8;
    syntax.intra_modes(cur_->has(kMbTransform8x8) ? 4 : 16);
  } else {
    cur_->flags |= kMbIntra16x16;
    cur_->cbp = uint8_t((type > 12 ? 15 : 0) | ((type - 1) / 4 % 3) << 4);
  }
  if (chroma_rows_ > 0) {
    const int mode = syntax.chroma_mode();
    if (mode < 0 || mode > 3) return false;
    ctx_->chroma_mode = uint8_t(mode);
  }
  if (type == 0) {
    const int cbp = syntax.coded_block_pattern(true);
    if (cbp < 0) return false;
    cur_->cbp = uint8_t(cbp);
    if (cbp == 0) {
      last_qp_delta_ = 0;
      return true;
    }
  }
  return parse_residual(syntax);
}

template <class Syntax>
bool SliceDecoder::parse_inter(Syntax syntax, int type) {
  const int lists = is_b_ ? 2 : 1;
  bool small = false;  // a partition below 8x8, or a direct one that may be
  if (is_b_ && type == 0) {
    cur_->flags |= kMbDirect;
    predict_direct();
    small = !direct8_;
  } else {
    const InterType& inter = is_b_ ? kBTypes[type] : kPTypes[type];
    cur_->shape = inter.shape;
    if (inter.shape == k16x16) {
      if (!parse_whole(syntax, inter.lists[0])) return false;
    } else {
      for (int list = 0; list < lists; ++list) fill_motion(list);
      if (Syntax::kCabac) syntax.mark_direct_neighbours();
      if (inter.shape == k8x8) {
        syntax.ref0 = !is_b_ && type == 4;
        if (!parse_sub_macroblocks(syntax, lists)) return false;
        for (int q = 0; q < 4; ++q) small |= cur_->direct >> q & 1 ? !direct8_ : cur_->sub[q] != k8x8;
      } else if (!parse_partitions(syntax, inter)) {
        return false;
      }
    }
  }
  for (int list = lists; list < lists_; ++list) set_whole(list, Mv{}, -1);
  const int cbp = syntax.coded_block_pattern(false);
  if (cbp < 0) return false;
  cur_->cbp = uint8_t(cbp);
  if ((cbp & 15) && pps_->transform_8x8_mode && !small && syntax.transform_8x8()) cur_->flags |= kMbTransform8x8;
  if (cbp == 0) {
    last_qp_delta_ = 0;
    return true;
  }
  return parse_residual(syntax);
}

// One partition of 16x16: most macroblocks that are neither skipped nor direct. No cache is filled.
template <class Syntax>
bool SliceDecoder::parse_whole(Syntax syntax, int used) {
  const int lists = is_b_ ? 2 : 1;
  Whole near[2];
  int ref[2] = {-1, -1};
  for (int list = 0; list < lists; ++list) {
    if (!(used >> list & 1)) continue;
    near[list] = whole_neighbours(list);
    ref[list] = syntax.ref_idx(list, near[list].above_zero);
    if (ref[list] < 0) return false;
  }
  for (int list = 0; list < lists; ++list) {
    Mv mv{};
    if (ref[list] >= 0) {
      mv = choose(near[list].three, ref[list]);
      syntax.mvd_whole(list, near[list], mv);
    }
    set_whole(list, mv, ref[list]);
  }
  return true;
}

// Two partitions, 16x8 or 8x16.
template <class Syntax>
bool SliceDecoder::parse_partitions(Syntax syntax, const InterType& inter) {
  const int lists = is_b_ ? 2 : 1;
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
      for (int row = y; row < y + h; ++row) std::fill_n(&ref_[list][cache_at(x, row)], w, int8_t(ref));
    }
  for (int list = 0; list < lists; ++list) {
    for (int part = 0; part < 2; ++part) {
      const int x = wide ? 0 : 2 * part, y = wide ? 2 * part : 0, at = cache_at(x, y);
      const int ref = refs[list][part];
      Mv mv{};
      if (ref >= 0) {
        // 8.4.1.3: directional prediction first.
        Mv other{};
        if (wide && part == 0 && ref_[list][at - 8] == ref)
          mv = mv_[list][at - 8];
        else if (wide == (part == 1) && ref_[list][at - 1] == ref)
          mv = mv_[list][at - 1];
        else if (!wide && part == 1 && diagonal(list, at, 2, other) == ref)
          mv = other;
        else
          mv = median(list, at, w, ref);
        syntax.mvd(list, x, y, w, h, mv);
      } else {
        syntax.no_mvd(list, x, y, w, h);
      }
      for (int row = y; row < y + h; ++row) std::fill_n(&mv_[list][cache_at(x, row)], w, mv);
    }
    store_motion(list);
  }
  return true;
}

template <class Syntax>
bool SliceDecoder::parse_sub_macroblocks(Syntax syntax, int lists) {
  uint8_t used[4];
  unsigned direct = 0;
  for (int q = 0; q < 4; ++q) {
    const int type = syntax.sub_mb_type();
    if (type < 0 || type > (is_b_ ? 12 : 3)) return false;
    const SubType& sub = is_b_ ? kBSubTypes[type] : kPSubTypes[type];
    used[q] = sub.lists;
    cur_->sub[q] = sub.shape;
    if (!sub.lists) direct |= 1u << q;
  }
  if (direct) {
    predict_direct(direct);
    cur_->shape = k8x8;
  }
  syntax.mark_direct(direct);
  int8_t refs[2][4];
  for (int list = 0; list < lists; ++list)
    for (int q = 0; q < 4; ++q) {
      const int x = 2 * (q & 1), y = q & 2, at = cache_at(x, y);
      int ref = -1;
      if (direct >> q & 1) {
        refs[list][q] = ref_[list][at];
        syntax.no_mvd(list, x, y, 2, 2);
        continue;
      }
      if (used[q] >> list & 1) {
        ref = syntax.ref_idx(list, x, y);
        if (ref < 0) return false;
      }
      refs[list][q] = int8_t(ref);
      for (int i : {0, 1, 8, 9}) ref_[list][at + i] = int8_t(ref);
    }
  for (int list = 0; list < lists; ++list) {
    ref_[list][cache_at(2, 0)] = ref_[list][cache_at(2, 2)] = kUnavailable;
    for (int q = 0; q < 4; ++q) {
      const int x = 2 * (q & 1), y = q & 2, at = cache_at(x, y), ref = refs[list][q];
      ref_[list][at] = int8_t(ref);
      if (direct >> q & 1) continue;
      if (ref < 0) {
        fill_block(list, x, y, 2, 2, Mv{}, -1);
        syntax.no_mvd(list, x, y, 2, 2);
        continue;
      }
      const int shape = cur_->sub[q];
      const int w = shape == k4x8 || shape == k4x4 ? 1 : 2, h = shape == k8x4 || shape == k4x4 ? 1 : 2;
      for (int by = y; by < y + 2; by += h)
        for (int bx = x; bx < x + 2; bx += w) {
          Mv mv = median(list, cache_at(bx, by), w, ref);
          syntax.mvd(list, bx, by, w, h, mv);
          for (int row = by; row < by + h; ++row) std::fill_n(&mv_[list][cache_at(bx, row)], w, mv);
        }
    }
    store_motion(list);
  }
  return true;
}

template <class Syntax>
bool SliceDecoder::parse_residual(Syntax syntax) {
  const int depth = 6 * (sps_->bit_depth_luma - 8);
  const int delta = syntax.qp_delta();
  if (delta < -(26 + depth / 2) || delta > 25 + depth / 2) return false;
  last_qp_delta_ = delta;
  qp_ = (qp_ + delta + 52 + 2 * depth) % (52 + depth) - depth;
  cur_->qp = int8_t(qp_);
  if (sps_->qpprime_y_zero_transform_bypass && qp_ + depth == 0) cur_->flags |= kMbBypass;

  const bool keep = sink_ && !cur_->has(kMbIntra);
  if (!keep) return syntax.template residual<false>();
  sink_->start(*header_, *cur_, x_, mb_ / frame_.width_mbs, field_);
  if (!syntax.template residual<true>()) return false;
  sink_->finish();
  return true;
}

// residual() (7.3.5.3). `Blocks` reads one block each.
template <class Blocks>
bool SliceDecoder::read_blocks(bool keep) {
  Blocks blocks(*this);
  if ((cur_->cbp & 15) || cur_->has(kMbIntra16x16))
    for (int plane = 0; plane < planes_; ++plane)
      if (!read_luma(blocks, plane, keep)) return false;
  return chroma_rows_ == 0 || !(cur_->cbp >> 4) || read_chroma(blocks, keep);
}

template <class Blocks>
[[gnu::always_inline]] inline bool SliceDecoder::read_luma(Blocks& blocks, int plane, bool keep) {
  fill_counts(plane);
  uint8_t* counts = counts_[plane];
  for (int y = 0; y < 4; ++y) std::memset(counts + cache_at(0, y), 0, 4);
  const bool whole = cur_->has(kMbIntra16x16);
  if (whole) {
    const int dc = blocks.luma_dc(plane);
    if (dc < 0) return false;
    if (dc > 0) ctx_->dc_coded = uint8_t(ctx_->dc_coded | 1 << plane);
  }
  for (int q = 0; q < 4; ++q) {
    if (!(cur_->cbp >> q & 1)) continue;
    const int x = 2 * (q & 1), y = q & 2;
    if (cur_->has(kMbTransform8x8)) {
      if (!blocks.luma_8x8(plane, x, y)) return false;
      continue;
    }
    for (int b = 0; b < 4; ++b) {
      const int bx = x + (b & 1), by = y + (b >> 1);
      const int count = blocks.luma_4x4(plane, bx, by, whole);
      if (count < 0) return false;
      counts[cache_at(bx, by)] = Blocks::kept(count);
      if (count > 0 && keep) sink_->luma_4x4(plane, bx, by, levels_);
    }
  }
  for (int y = 0; y < 4; ++y) std::memcpy(ctx_->counts + 16 * plane + 4 * y, counts + cache_at(0, y), 4);
  return true;
}

template <class Blocks>
[[gnu::always_inline]] inline bool SliceDecoder::read_chroma(Blocks& blocks, bool keep) {
  for (int plane = 1; plane < 3; ++plane) {
    const int count = blocks.chroma_dc(plane);
    if (count < 0) return false;
    if (count == 0) continue;
    ctx_->dc_coded = uint8_t(ctx_->dc_coded | 1 << plane);
    if (keep) sink_->chroma_dc(plane, levels_);
  }
  if (!(cur_->cbp >> 5)) return true;
  for (int plane = 1; plane < 3; ++plane) {
    fill_counts(plane);
    for (int b = 0; b < 2 * chroma_rows_; ++b) {
      const int bx = b & 1, by = b >> 1;
      const int count = blocks.chroma_ac(plane, bx, by);
      if (count < 0) return false;
      counts_[plane][cache_at(bx, by)] = ctx_->counts[16 * plane + 4 * by + bx] = Blocks::kept(count);
      if (count > 0 && keep) sink_->chroma_ac(plane, bx, by, levels_);
    }
  }
  return true;
}

}  // namespace himmel::h264
