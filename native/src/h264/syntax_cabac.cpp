#include "h264/syntax_cabac.hpp"

#include <algorithm>
#include <cstdlib>

#include "h264/cabac_blocks.hpp"
#include "h264/macroblock.hpp"

namespace himmel::h264 {

namespace {

// 9.3.1.1: all contexts of a slice; `table` is 0 for I slices, else 1 + cabac_init_idc.
void init_contexts(std::array<uint8_t, 1024>& contexts, int table, int slice_qp) {
  for (size_t i = 0; i < contexts.size(); ++i)
    contexts[i] = initial_context(kCabacInit[table][i][0], kCabacInit[table][i][1], slice_qp);
}

// Syntax elements in CABAC (9.3): binarisations and context increments.
struct CabacSyntax {
  static constexpr bool kCabac = true;
  SliceState& s;
  bool ref0 = false;

  Bins bins() const { return Bins(s.cabac, s.contexts); }
  const Macroblock* left() const { return s.near.left[0] < 0 ? nullptr : &s.frame.mbs[size_t(s.near.left[0])]; }
  const Macroblock* top() const { return s.near.top < 0 ? nullptr : &s.frame.mbs[size_t(s.near.top)]; }
  // How many of the macroblocks left and above are there and lack, or have, a flag.
  int lacking(uint16_t flag) const { return (left() && !left()->has(flag)) + (top() && !top()->has(flag)); }
  int having(uint16_t flag) const { return (left() && left()->has(flag)) + (top() && top()->has(flag)); }

  bool skip() const { return bins()((s.is_b ? 24 : 11) + lacking(kMbSkip)); }

  int mb_type() const {
    Bins bin = bins();
    if (s.is_intra) return bin(3 + lacking(kMbIntraNxN)) ? intra_type(bin, 5, 1) : 0;
    if (!s.is_b) {
      if (bin(14)) return kIntraInP + (bin(17) ? intra_type(bin, 17, 0) : 0);
      if (bin(15)) return bin(17) ? 1 : 2;
      return bin(16) ? 3 : 0;
    }
    if (!bin(27 + lacking(kMbDirect))) return 0;
    if (!bin(30)) return 1 + int(bin(32));
    int bits = int(bin(31)) << 3;
    bits |= int(bin(32)) << 2;
    bits |= int(bin(32)) << 1;
    bits |= int(bin(32));
    if (bits < 8) return bits + 3;
    if (bits == 13) return kIntraInB + (bin(32) ? intra_type(bin, 32, 0) : 0);
    if (bits == 14) return 11;
    if (bits == 15) return 22;
    return 2 * bits + int(bin(32)) - 4;
  }

  // Bins after the first of an I macroblock type; `wide` is 1 in I slices, whose contexts don't coincide.
  static int intra_type(Bins& bin, int base, int wide) {
    if (bin.terminate()) return kIntraPcm;
    int type = 1 + 12 * int(bin(base + 1));
    if (bin(base + 2)) type += 4 + 4 * int(bin(base + 2 + wide));
    type += 2 * int(bin(base + 3 + wide));
    return type + int(bin(base + 3 + 2 * wide));
  }

  int sub_mb_type() const {
    Bins bin = bins();
    if (!s.is_b) {
      if (bin(21)) return 0;
      if (!bin(22)) return 1;
      return bin(23) ? 2 : 3;
    }
    if (!bin(36)) return 0;
    if (!bin(37)) return 1 + int(bin(39));
    int type = 3;
    if (bin(38)) {
      if (bin(39)) return 11 + int(bin(39));
      type += 4;
    }
    type += 2 * int(bin(39));
    return type + int(bin(39));
  }

  bool transform_8x8() const { return bins()(399 + having(kMbTransform8x8)); }

  void intra_modes(int count) const {
    Bins bin = bins();
    while (count-- > 0)
      if (!bin(68)) bin(69), bin(69), bin(69);
  }

  int chroma_mode() const {
    const auto differs = [&](int mb) { return mb >= 0 && s.scratch.contexts[size_t(mb)].chroma_mode != 0; };
    Bins bin = bins();
    if (!bin(64 + differs(s.near.left[0]) + differs(s.near.top))) return 0;
    if (!bin(67)) return 1;
    return bin(67) ? 3 : 2;
  }

  int coded_block_pattern(bool) const {
    Bins bin = bins();
    const int up = top() ? top()->cbp : 0x0F;
    // The left neighbour of each 8x8 row: in MBAFF frames the rows may belong to two macroblocks.
    int left_bit[2], left_chroma = 0;
    for (int half = 0; half < 2; ++half) {
      const int mb = s.near.left[2 * half];
      left_bit[half] = mb < 0 ? 1 : s.frame.mbs[size_t(mb)].cbp >> (1 + (s.near.left_row[2 * half] & 2)) & 1;
    }
    if (left()) left_chroma = left()->cbp >> 4;
    int luma = int(bin(73 + !left_bit[0] + 2 * !(up & 4)));
    luma |= int(bin(73 + !(luma & 1) + 2 * !(up & 8))) << 1;
    luma |= int(bin(73 + !left_bit[1] + 2 * !(luma & 1))) << 2;
    luma |= int(bin(73 + !(luma & 4) + 2 * !(luma & 2))) << 3;
    if (s.chroma_rows == 0) return luma;
    const int up_chroma = top() ? top()->cbp >> 4 : 0;
    if (!bin(77 + (left_chroma != 0) + 2 * (up_chroma != 0))) return luma;
    return luma | (1 + int(bin(81 + (left_chroma == 2) + 2 * (up_chroma == 2)))) << 4;
  }

  int qp_delta() const {
    Bins bin = bins();
    int context = 60 + (s.last_qp_delta != 0), value = 0;
    while (bin(context)) {
      context = value == 0 ? 62 : 63;
      if (++value > 200) return 1000;
    }
    return value & 1 ? (value + 1) >> 1 : -(value >> 1);
  }

  void mark_direct(unsigned quarters) const {
    for (int q = 0; q < 4; ++q)
      for (int i : {0, 1, 8, 9}) s.direct_at[cache_at(2 * (q & 1), q & 2) + i] = uint8_t(quarters >> q & 1);
  }

  // Once a macroblock, before ref_idx: which neighbouring quarters were derived by direct prediction.
  void mark_direct_neighbours() const {
    const Macroblock* above = top();
    for (int x = 0; x < 4; ++x)
      s.direct_at[cache_at(x, -1)] = uint8_t(above ? above->direct >> (2 + (x >> 1)) & 1 : 0);
    for (int y = 0; y < 4; ++y) {
      const int mb = s.near.left[y];
      s.direct_at[cache_at(-1, y)] =
          uint8_t(mb < 0 ? 0 : s.frame.mbs[size_t(mb)].direct >> ((s.near.left_row[y] & 2) + 1) & 1);
    }
  }

  // ref_idx of list `list` (9.3.3.1.1.6): `above_zero`, bit 0 left and bit 1 above, where the neighbour's index is
  // larger than 0 and not derived by direct prediction.
  int ref_idx(int list, int above_zero) const {
    const int most = s.header->num_ref_idx[list] << s.field;
    if (most <= 1) return most - 1;
    Bins bin = bins();
    int ref = 0;
    while (bin(54 + above_zero)) {
      if (++ref >= most) return -1;
      above_zero = (above_zero >> 2) + 4;
    }
    return ref;
  }
  int ref_idx(int list, int x, int y) const {
    const int at = cache_at(x, y);
    const bool left = s.ref[list][at - 1] > 0 && !s.direct_at[at - 1];
    const bool above = s.ref[list][at - 8] > 0 && !s.direct_at[at - 8];
    return ref_idx(list, left + 2 * above);
  }

  // mvd_lX of both components (9.3.3.1.1.7), by the sums of the neighbours' magnitudes.
  struct Difference {
    int x, y;
  };
  Difference difference(int sum_x, int sum_y) const {
    Bins bin = bins();
    const int dx = component(bin, 40, sum_x);
    return {dx, component(bin, 47, sum_y)};
  }
  [[gnu::always_inline]] int component(Bins& bin, int base, int sum) const {
    if (!bin(base + (sum > 2) + (sum > 32))) return 0;
    int value = 1, context = base + 3;
    while (value < 9 && bin(context)) {
      context += value < 4;
      ++value;
    }
    if (value >= 9) {
      const int suffix = bin.suffix(3);
      if (suffix < 0) {
        s.broken = true;
        return 0;
      }
      value += suffix;
    }
    const int sign = -int(bin.bypass());  // a branch would be wrong half of the time
    return (value ^ sign) - sign;
  }

  void mvd(int list, int x, int y, int w, int h, Mv& mv) const {
    uint8_t (*near)[2] = s.mvd[list];
    const int at = cache_at(x, y);
    const Difference delta = difference(near[at - 1][0] + near[at - 8][0], near[at - 1][1] + near[at - 8][1]);
    mv = {int16_t(mv.x + delta.x), int16_t(mv.y + delta.y)};
    const uint8_t ax = magnitude(delta.x), ay = magnitude(delta.y);
    for (int row = y; row < y + h; ++row)
      for (int column = x; column < x + w; ++column) {
        near[cache_at(column, row)][0] = ax;
        near[cache_at(column, row)][1] = ay;
      }
  }
  static uint8_t magnitude(int value) { return uint8_t(std::min(std::abs(value), 127)); }

  // The whole macroblock's vector difference, with all of its neighbours' and its own in MbContext.
  void mvd_whole(int list, const Whole& near, Mv& mv) const {
    const Difference delta = difference(near.mvd[0], near.mvd[1]);
    mv = {int16_t(mv.x + delta.x), int16_t(mv.y + delta.y)};
    uint8_t (*own)[2] = s.ctx->mvd[list];
    for (int i = 0; i < 7; ++i) own[i][0] = magnitude(delta.x), own[i][1] = magnitude(delta.y);
  }

  void no_mvd(int list, int x, int y, int w, int h) const {
    for (int row = y; row < y + h; ++row) std::memset(s.mvd[list][cache_at(x, row)], 0, size_t(2 * w));
  }

  template <bool kKeep>
  bool residual() const {
    return read_blocks<CabacBlocks<kKeep>>(s, kKeep);
  }
};

// mb_field_decoding_flag (9.3.3.1.1.1: by the pairs left and above).
bool read_field_flag(SliceState& s) {
  const int w = s.frame.width_mbs, pair = s.mb - (s.y & 1) * w;
  const auto field = [&](bool inside, int mb) {
    return inside && available(s, mb) && s.frame.mbs[size_t(mb)].has(kMbField);
  };
  return s.cabac.decision(s.contexts + 70 + field(s.x > 0, pair - 1) + field(s.y > 1, pair - 2 * w));
}

// Whether the data end where the last end_of_slice_flag says: bins of damaged data end a slice anywhere. The engine is
// seven bits ahead of rbsp_stop_one_bit (9.3.4.5). x264 puts a one of its own behind it, and a byte or two that mean
// nothing do no harm.
bool at_end(const SliceState& s) {
  constexpr size_t kForgivenBytes = 2;
  const size_t stop = s.cabac.position() - 8, last = s.bits.stop_bit();
  BitReader bits = s.bits;
  bits.seek(stop);
  return stop <= last && last / 8 - stop / 8 <= kForgivenBytes && bits.flag();
}

}  // namespace

bool run_cabac(SliceState& s) {
  s.bits.seek((s.header->data_bit + 7) & ~size_t(7));  // cabac_alignment_one_bit
  init_contexts(s.scratch.cabac_contexts, s.is_intra ? 0 : 1 + s.header->cabac_init_idc, s.header->qp);
  s.contexts = s.scratch.cabac_contexts.data();
  s.cabac.start(s.bits.data(), s.bits.size_bits() / 8, s.bits.position() / 8);
  CabacSyntax syntax{s};
  bool bottom_skip = false, top_skipped = false;
  for (;;) {
    const size_t before = s.cabac.position();
    const bool bottom = s.mbaff && (s.y & 1);
    if (s.mbaff && !bottom) s.field = infer_field(s);
    if (!start_macroblock(s)) return false;
    bool skip = false;
    if (!s.is_intra) {
      skip = bottom && top_skipped ? bottom_skip : syntax.skip();
      if (s.mbaff && !bottom && skip) {
        // Whether the pair is of fields comes after the lower macroblock's skip flag.
        s.cur->flags |= kMbSkip;
        ++s.y, s.mb += s.frame.width_mbs;
        if (!start_macroblock(s)) return false;
        bottom_skip = syntax.skip();
        if (!bottom_skip) s.field = read_field_flag(s);
        --s.y, s.mb -= s.frame.width_mbs;
        s.frame.mbs[size_t(s.mb + s.frame.width_mbs)] = Macroblock{};
        if (!start_macroblock(s)) return false;
      }
      if (!bottom) top_skipped = skip;
    }
    if (s.mbaff && !skip && !bottom) {
      s.field = read_field_flag(s);
      if (!start_macroblock(s)) return false;
    }
    if (skip) {
      skip_macroblock(s);
    } else {
      if (!parse_macroblock(s, syntax)) s.broken = true;
    }
    if (s.broken || s.cabac.overrun()) return false;
    const bool more = (s.mbaff && !bottom) || !s.cabac.terminate();
    finish_macroblock(s, s.cabac.position() - before);
    if (!more) return at_end(s);
    advance(s);
  }
}

}  // namespace himmel::h264
