// Syntax elements in Exp-Golomb codes and CAVLC (9.1, 9.2).
#include "h264/macroblock.hpp"

namespace himmel::h264 {

struct SliceDecoder::CavlcSyntax {
  static constexpr bool kCabac = false;
  SliceDecoder& d;
  bool ref0 = false;

  int ue(uint32_t most) const {
    const uint32_t value = d.bits_.ue();
    return value > most ? -1 : int(value);
  }

  int mb_type() const { return ue(64); }
  int sub_mb_type() const { return ue(12); }
  bool transform_8x8() const { return d.bits_.flag(); }
  void intra_modes(int count) const {
    BitReader bits = d.bits_;
    while (count-- > 0) bits.skip(bits.peek(1) ? 1 : 4);
    d.bits_.seek(bits.position());
  }
  int chroma_mode() const { return ue(3); }
  int coded_block_pattern(bool intra) const {
    const bool chroma = d.chroma_rows_ > 0;
    const int code = ue(chroma ? 47 : 15);
    return code < 0 ? -1 : kCodedBlockPattern[chroma][!intra][code];
  }
  int qp_delta() const { return d.bits_.se(); }
  void mark_direct(unsigned) const {}
  void mark_direct_neighbours() const {}

  int ref_idx(int list, int, int) const { return ref_idx(list, 0); }
  int ref_idx(int list, int) const {
    if (ref0) return 0;
    const uint32_t most = uint32_t(d.header_->num_ref_idx[list]) << d.field_;
    if (most <= 1) return int(most) - 1;
    const uint32_t ref = d.bits_.te(most - 1);
    return ref < most ? int(ref) : -1;
  }
  void mvd(int, int, int, int, int, Mv& mv) const {
    const int dx = d.bits_.se(), dy = d.bits_.se();
    mv = {int16_t(mv.x + dx), int16_t(mv.y + dy)};
  }
  void mvd_whole(int, const Whole&, Mv& mv) const { mvd(0, 0, 0, 0, 0, mv); }
  void no_mvd(int, int, int, int, int) const {}

  template <bool kKeep>
  bool residual() const { return d.read_blocks<CavlcBlocks<kKeep>>(kKeep); }
};

// Reads the blocks of one macroblock, with a copy of the reader that nothing else can point at.
template <bool kKeep>
struct SliceDecoder::CavlcBlocks {
  SliceDecoder& d;
  BitReader bits;

  explicit CavlcBlocks(SliceDecoder& decoder) : d(decoder), bits(decoder.bits_) {}
  ~CavlcBlocks() { d.bits_.seek(bits.position()); }
  static uint8_t kept(int count) { return uint8_t(count); }

  int read(int nC, int max) { return read_cavlc_block(bits, nC, max, kKeep ? &d.levels_ : nullptr); }

  // 9.2.1: nC from the blocks left and above; 0x40 marks those that are not available.
  int context(int plane, int x, int y) const {
    const uint8_t* counts = d.counts_[plane];
    const int at = cache_at(x, y), sum = counts[at - 1] + counts[at - 8];
    return sum < 0x40 ? (sum + 1) >> 1 : sum & 0x3F;
  }
  int luma_dc(int plane) { return read(context(plane, 0, 0), 16); }
  int luma_4x4(int plane, int x, int y, bool ac) { return read(context(plane, x, y), ac ? 15 : 16); }
  int chroma_dc(int) {
    const bool is_422 = d.chroma_rows_ == 4;
    return read(is_422 ? -2 : -1, is_422 ? 8 : 4);
  }
  int chroma_ac(int plane, int x, int y) { return read(context(plane, x, y), 15); }

  // Four interleaved blocks (7.3.5.3.2).
  bool luma_8x8(int plane, int x, int y) {
    Levels whole;
    for (int n = 0; n < 4; ++n) {
      const int bx = x + (n & 1), by = y + (n >> 1);
      const int count = read(context(plane, bx, by), 16);
      if (count < 0) return false;
      d.counts_[plane][cache_at(bx, by)] = uint8_t(count);
      if constexpr (kKeep)
        for (int i = 0; i < count; ++i) {
          whole.position[whole.count] = int16_t(4 * d.levels_.position[i] + n);
          whole.level[whole.count++] = d.levels_.level[i];
        }
    }
    if (kKeep && whole.count > 0) d.sink_->luma_8x8(plane, x, y, whole);
    return true;
  }
};

// 7.3.4 with entropy_coding_mode_flag = 0.
void SliceDecoder::run_cavlc() {
  bits_.seek(header_->data_bit);
  CavlcSyntax syntax{*this};
  uint32_t run = 0;
  bool run_read = false, top_skipped = false;
  for (;;) {
    const size_t before = bits_.position();
    const bool bottom = mbaff_ && (y_ & 1);
    if (mbaff_ && !bottom) field_ = infer_field();
    bool skip = false, field_known = false;
    if (!is_intra_) {
      if (!run_read) {
        run = bits_.ue();
        if (run > frame_.size() || bits_.overrun()) return;
        run_read = true;
      }
      skip = run > 0;
      if (skip) {
        --run;
        // The pair's flag follows at once if its lower macroblock is not skipped.
        if (mbaff_ && !bottom && run == 0 && bits_.more_rbsp_data()) field_ = bits_.peek(1);
      } else {
        run_read = false;
      }
    }
    field_known = bottom && !top_skipped;
    if (mbaff_ && !skip && !field_known) field_ = bits_.flag();
    if (!bottom) top_skipped = skip;
    if (!start_macroblock()) return;
    if (skip) {
      skip_macroblock();
    } else if (!parse_macroblock(syntax) || bits_.overrun()) {
      return;
    }
    finish_macroblock(bits_.position() - before);
    // After a run of skipped macroblocks the slice may end without another one (moreDataFlag).
    if (!(skip && run > 0) && !bits_.more_rbsp_data()) return;
    advance();
  }
}

}  // namespace himmel::h264
