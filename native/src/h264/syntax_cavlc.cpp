#include "h264/syntax_cavlc.hpp"

#include "h264/macroblock.hpp"

namespace himmel::h264 {

namespace {

// Reads the blocks of one macroblock, with a copy of the reader that nothing else can point at.
template <bool kKeep>
struct CavlcBlocks {
  SliceState& s;
  BitReader bits;

  explicit CavlcBlocks(SliceState& state) : s(state), bits(state.bits) {}
  ~CavlcBlocks() { s.bits.seek(bits.position()); }
  static uint8_t kept(int count) { return uint8_t(count); }

  int read(int nC, int max) { return read_cavlc_block(bits, nC, max, kKeep ? &s.levels : nullptr); }

  // 9.2.1: nC from the blocks left and above; 0x40 marks those that are not available.
  int context(int plane, int x, int y) const {
    const uint8_t* counts = s.counts[plane];
    const int at = cache_at(x, y), sum = counts[at - 1] + counts[at - 8];
    return sum < 0x40 ? (sum + 1) >> 1 : sum & 0x3F;
  }
  int luma_dc(int plane) { return read(context(plane, 0, 0), 16); }
  int luma_4x4(int plane, int x, int y, bool ac) { return read(context(plane, x, y), ac ? 15 : 16); }
  int chroma_dc(int) {
    const bool is_422 = s.chroma_rows == 4;
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
      s.counts[plane][cache_at(bx, by)] = uint8_t(count);
      if constexpr (kKeep)
        for (int i = 0; i < count; ++i) {
          whole.position[whole.count] = int16_t(4 * s.levels.position[i] + n);
          whole.level[whole.count++] = s.levels.level[i];
        }
    }
    if (kKeep && whole.count > 0) s.sink->luma_8x8(plane, x, y, whole);
    return true;
  }
};

// Syntax elements in Exp-Golomb codes and CAVLC (9.1, 9.2).
struct CavlcSyntax {
  static constexpr bool kCabac = false;
  SliceState& s;
  bool ref0 = false;

  int ue(uint32_t most) const {
    const uint32_t value = s.bits.ue();
    return value > most ? -1 : int(value);
  }

  int mb_type() const { return ue(64); }
  int sub_mb_type() const { return ue(12); }
  bool transform_8x8() const { return s.bits.flag(); }
  void intra_modes(int count) const {
    BitReader bits = s.bits;
    while (count-- > 0) bits.skip(bits.peek(1) ? 1 : 4);
    s.bits.seek(bits.position());
  }
  int chroma_mode() const { return ue(3); }
  int coded_block_pattern(bool intra) const {
    const bool chroma = s.chroma_rows > 0;
    const int code = ue(chroma ? 47 : 15);
    return code < 0 ? -1 : kCodedBlockPattern[chroma][!intra][code];
  }
  int qp_delta() const { return s.bits.se(); }
  void mark_direct(unsigned) const {}
  void mark_direct_neighbours() const {}

  int ref_idx(int list, int, int) const { return ref_idx(list, 0); }
  int ref_idx(int list, int) const {
    if (ref0) return 0;
    const uint32_t most = uint32_t(s.header->num_ref_idx[list]) << s.field;
    if (most <= 1) return int(most) - 1;
    const uint32_t ref = s.bits.te(most - 1);
    return ref < most ? int(ref) : -1;
  }
  void mvd(int, int, int, int, int, Mv& mv) const {
    const int dx = s.bits.se(), dy = s.bits.se();
    mv = {int16_t(mv.x + dx), int16_t(mv.y + dy)};
  }
  void mvd_whole(int, const Whole&, Mv& mv) const { mvd(0, 0, 0, 0, 0, mv); }
  void no_mvd(int, int, int, int, int) const {}

  template <bool kKeep>
  bool residual() const {
    return read_blocks<CavlcBlocks<kKeep>>(s, kKeep);
  }
};

}  // namespace

bool run_cavlc(SliceState& s) {
  s.bits.seek(s.header->data_bit);
  CavlcSyntax syntax{s};
  uint32_t run = 0;
  bool run_read = false, top_skipped = false;
  for (;;) {
    const size_t before = s.bits.position();
    const bool bottom = s.mbaff && (s.y & 1);
    if (s.mbaff && !bottom) s.field = infer_field(s);
    bool skip = false, field_known = false;
    if (!s.is_intra) {
      if (!run_read) {
        run = s.bits.ue();
        if (run > s.frame.size() || s.bits.overrun()) return false;
        run_read = true;
      }
      skip = run > 0;
      if (skip) {
        --run;
        // The pair's flag follows at once if its lower macroblock is not skipped.
        if (s.mbaff && !bottom && run == 0 && s.bits.more_rbsp_data()) s.field = s.bits.peek(1);
      } else {
        run_read = false;
      }
    }
    field_known = bottom && !top_skipped;
    if (s.mbaff && !skip && !field_known) s.field = s.bits.flag();
    if (!bottom) top_skipped = skip;
    if (!start_macroblock(s)) return false;
    if (skip) {
      skip_macroblock(s);
    } else if (!parse_macroblock(s, syntax) || s.bits.overrun()) {
      return false;
    }
    finish_macroblock(s, s.bits.position() - before);
    // After a run of skipped macroblocks the slice may end without another one (moreDataFlag).
    if (!(skip && run > 0) && !s.bits.more_rbsp_data()) return true;
    advance(s);
  }
}

}  // namespace himmel::h264
