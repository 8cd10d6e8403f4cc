// Syntax elements in CABAC (9.3): binarisations and context increments.
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

}  // namespace

struct SliceDecoder::CabacSyntax {
  static constexpr bool kCabac = true;
  SliceDecoder& d;
  bool ref0 = false;

  Bins bins() const { return Bins(d.cabac_, d.contexts_); }
  const Macroblock* left() const { return d.near_.left[0] < 0 ? nullptr : &d.frame_.mbs[size_t(d.near_.left[0])]; }
  const Macroblock* top() const { return d.near_.top < 0 ? nullptr : &d.frame_.mbs[size_t(d.near_.top)]; }
  // How many of the macroblocks left and above are there and lack, or have, a flag.
  int lacking(uint16_t flag) const { return (left() && !left()->has(flag)) + (top() && !top()->has(flag)); }
  int having(uint16_t flag) const { return (left() && left()->has(flag)) + (top() && top()->has(flag)); }

  bool skip() const { return bins()((d.is_b_ ? 24 : 11) + lacking(kMbSkip)); }

  int mb_type() const {
    Bins bin = bins();
    if (d.is_intra_) return bin(3 + lacking(kMbIntraNxN)) ? intra_type(bin, 5, 1) : 0;
    if (!d.is_b_) {
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
    if (!d.is_b_) {
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
    const auto differs = [&](int mb) { return mb >= 0 && d.scratch_.contexts[size_t(mb)].chroma_mode != 0; };
    Bins bin = bins();
    if (!bin(64 + differs(d.near_.left[0]) + differs(d.near_.top))) return 0;
    if (!bin(67)) return 1;
    return bin(67) ? 3 : 2;
  }

  int coded_block_pattern(bool) const {
    Bins bin = bins();
    const int up = top() ? top()->cbp : 0x0F;
    // The left neighbour of each 8x8 row: in MBAFF frames the rows may belong to two macroblocks.
    int left_bit[2], left_chroma = 0;
    for (int half = 0; half < 2; ++half) {
      const int mb = d.near_.left[2 * half];
      left_bit[half] = mb < 0 ? 1 : d.frame_.mbs[size_t(mb)].cbp >> (1 + (d.near_.left_row[2 * half] & 2)) & 1;
    }
    if (left()) left_chroma = left()->cbp >> 4;
    int luma = int(bin(73 + !left_bit[0] + 2 * !(up & 4)));
    luma |= int(bin(73 + !(luma & 1) + 2 * !(up & 8))) << 1;
    luma |= int(bin(73 + !left_bit[1] + 2 * !(luma & 1))) << 2;
    luma |= int(bin(73 + !(luma & 4) + 2 * !(luma & 2))) << 3;
    if (d.chroma_rows_ == 0) return luma;
    const int up_chroma = top() ? top()->cbp >> 4 : 0;
    if (!bin(77 + (left_chroma != 0) + 2 * (up_chroma != 0))) return luma;
    return luma | (1 + int(bin(81 + (left_chroma == 2) + 2 * (up_chroma == 2)))) << 4;
  }

  int qp_delta() const {
    Bins bin = bins();
    int context = 60 + (d.last_qp_delta_ != 0), value = 0;
    while (bin(context)) {
      context = value == 0 ? 62 : 63;
      if (++value > 200) return 1000;
    }
    return value & 1 ? (value + 1) >> 1 : -(value >> 1);
  }

  void mark_direct(unsigned quarters) const {
    for (int q = 0; q < 4; ++q)
      for (int i : {0, 1, 8, 9}) d.direct_at_[cache_at(2 * (q & 1), q & 2) + i] = uint8_t(quarters >> q & 1);
  }

  // Once a macroblock, before ref_idx: which neighbouring quarters were derived by direct prediction.
  void mark_direct_neighbours() const {
    const Macroblock* above = top();
    for (int x = 0; x < 4; ++x)
      d.direct_at_[cache_at(x, -1)] = uint8_t(above ? above->direct >> (2 + (x >> 1)) & 1 : 0);
    for (int y = 0; y < 4; ++y) {
      const int mb = d.near_.left[y];
      d.direct_at_[cache_at(-1, y)] =
          uint8_t(mb < 0 ? 0 : d.frame_.mbs[size_t(mb)].direct >> ((d.near_.left_row[y] & 2) + 1) & 1);
    }
  }

  // ref_idx of list `list` (9.3.3.1.1.6): `above_zero`, bit 0 left and bit 1 above, where the neighbour's index is larger than 0 and not
  // derived by direct prediction.
  int ref_idx(int list, int above_zero) const {
    const int most = d.header_->num_ref_idx[list] << d.field_;
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
    const bool left = d.ref_[list][at - 1] > 0 && !d.direct_at_[at - 1];
    const bool above = d.ref_[list][at - 8] > 0 && !d.direct_at_[at - 8];
    return ref_idx(list, left + 2 * above);
  }

  // mvd_lX of both components (9.3.3.1.1.7), by the sums of the neighbours' magnitudes.
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
        d.broken_ = true;
        return 0;
      }
      value += suffix;
    }
    const int sign = -int(bin.bypass());  // a branch would be wrong half of the time
    return (value ^ sign) - sign;
  }

  void mvd(int list, int x, int y, int w, int h, Mv& mv) const {
    uint8_t(*near)[2] = d.mvd_[list];
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
    uint8_t(*own)[2] = d.ctx_->mvd[list];
    for (int i = 0; i < 7; ++i) own[i][0] = magnitude(delta.x), own[i][1] = magnitude(delta.y);
  }

  void no_mvd(int list, int x, int y, int w, int h) const {
    for (int row = y; row < y + h; ++row) std::memset(d.mvd_[list][cache_at(x, row)], 0, size_t(2 * w));
  }

  template <bool kKeep>
  bool residual() const { return d.read_blocks<CabacBlocks<kKeep>>(kKeep); }
};

// 7.3.4 with entropy_coding_mode_flag = 1.
void SliceDecoder::run_cabac() {
  bits_.seek((header_->data_bit + 7) & ~size_t(7));  // cabac_alignment_one_bit
  init_contexts(scratch_.cabac_contexts, is_intra_ ? 0 : 1 + header_->cabac_init_idc, header_->qp);
  contexts_ = scratch_.cabac_contexts.data();
  cabac_.start(bits_.data(), bits_.size_bits() / 8, bits_.position() / 8);
  CabacSyntax syntax{*this};
  bool bottom_skip = false, top_skipped = false;
  for (;;) {
    const size_t before = cabac_.position();
    const bool bottom = mbaff_ && (y_ & 1);
    if (mbaff_ && !bottom) field_ = infer_field();
    if (!start_macroblock()) return;
    bool skip = false;
    if (!is_intra_) {
      skip = bottom && top_skipped ? bottom_skip : syntax.skip();
      if (mbaff_ && !bottom && skip) {
        // Whether the pair is of fields stands behind the lower macroblock's skip flag.
        cur_->flags |= kMbSkip;
        ++y_, mb_ += frame_.width_mbs;
        if (!start_macroblock()) return;
        bottom_skip = syntax.skip();
        if (!bottom_skip) field_ = read_field_flag();
        --y_, mb_ -= frame_.width_mbs;
        frame_.mbs[size_t(mb_ + frame_.width_mbs)] = Macroblock{};
        if (!start_macroblock()) return;
      }
      if (!bottom) top_skipped = skip;
    }
    if (mbaff_ && !skip && !bottom) {
      field_ = read_field_flag();
      if (!start_macroblock()) return;
    }
    if (skip) {
      skip_macroblock();
    } else {
      if (!parse_macroblock(syntax)) broken_ = true;
    }
    if (broken_ || cabac_.overrun()) return;
    const bool more = (mbaff_ && !bottom) || !cabac_.terminate();
    finish_macroblock(cabac_.position() - before);
    if (!more) return;
    advance();
  }
}

// mb_field_decoding_flag (9.3.3.1.1.1: by the pairs left and above).
bool SliceDecoder::read_field_flag() {
  const int w = frame_.width_mbs, pair = mb_ - (y_ & 1) * w;
  const auto field = [&](bool inside, int mb) { return inside && available(mb) && frame_.mbs[size_t(mb)].has(kMbField); };
  return cabac_.decision(contexts_ + 70 + field(x_ > 0, pair - 1) + field(y_ > 1, pair - 2 * w));
}

bool SliceDecoder::parse_pcm() {
  const int depth_luma = sps_->bit_depth_luma, depth_chroma = sps_->bit_depth_chroma;
  const int chroma = planes_ == 3 ? 512 : 2 * 64 * chroma_rows_ / 2;
  const size_t bits = size_t(256 * depth_luma + chroma * depth_chroma);
  // After terminate() the engine is seven bits ahead of where the encoder flushed (9.3.1.2, 9.3.4.5).
  const size_t from = pps_->cabac ? cabac_.position() - 7 : bits_.position();
  const size_t to = ((from + 7) & ~size_t(7)) + bits;
  if (to > bits_.size_bits()) return false;
  if (pps_->cabac)
    cabac_.start(bits_.data(), bits_.size_bits() / 8, (to + 7) / 8);
  else
    bits_.seek(to);
  cur_->flags |= kMbPcm;
  cur_->cbp = 0x2F;
  std::memset(ctx_->counts, pps_->cabac ? 1 : 16, sizeof ctx_->counts);
  ctx_->dc_coded = 7;
  last_qp_delta_ = 0;
  // QP'Y of I_PCM is 0 (7.4.5); QPY,PRED stays that of the macroblock before.
  cur_->qp = int8_t(-6 * (depth_luma - 8));
  return true;
}

}  // namespace himmel::h264
