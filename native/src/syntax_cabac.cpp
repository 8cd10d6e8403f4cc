// Syntax elements in CABAC (9.3): binarisations and context increments.
#include <algorithm>
#include <cstdlib>

#include "cabac_tables.hpp"
#include "macroblock.hpp"

namespace himmel {

namespace {

// Table 9-34 with Table 9-40: first context of each syntax element of a block, by ctxBlockCat.
constexpr uint16_t kCodedFlag[14] = {85, 89, 93, 97, 101, 1012, 460, 464, 468, 1016, 472, 476, 480, 1020};
constexpr uint16_t kSignificant[2][14] = {
    {105, 120, 134, 149, 152, 402, 484, 499, 513, 660, 528, 543, 557, 718},
    {277, 292, 306, 321, 324, 436, 776, 791, 805, 675, 820, 835, 849, 733}};
constexpr uint16_t kLast[2][14] = {{166, 181, 195, 210, 213, 417, 572, 587, 601, 690, 616, 631, 645, 748},
                                   {338, 353, 367, 382, 385, 451, 864, 879, 893, 699, 908, 923, 937, 757}};
constexpr uint16_t kLevel[14] = {227, 237, 247, 257, 266, 426, 952, 962, 972, 708, 982, 992, 1002, 766};

// ctxBlockCat of each kind of luma block, by plane.
enum { kDc = 0, kAc = 1, k4x4Block = 2, k8x8Block = 3 };
constexpr uint8_t kCategory[3][4] = {{0, 1, 2, 5}, {6, 7, 8, 9}, {10, 11, 12, 13}};
constexpr int kChromaDcCategory = 3, kChromaAcCategory = 4;

constexpr int kMaxPrefix = 24;  // of Exp-Golomb suffixes: no conforming stream comes near

}  // namespace

struct SliceDecoder::CabacSyntax {
  SliceDecoder& d;
  bool ref0 = false;

  uint32_t bin(int context) const { return d.cabac_.decision(d.contexts_ + context); }
  const Macroblock* left() const { return d.near_.left[0] < 0 ? nullptr : &d.frame_.mbs[size_t(d.near_.left[0])]; }
  const Macroblock* top() const { return d.near_.top < 0 ? nullptr : &d.frame_.mbs[size_t(d.near_.top)]; }

  bool skip() const {
    const int inc = (left() && !left()->has(kMbSkip)) + (top() && !top()->has(kMbSkip));
    return bin((d.is_b_ ? 24 : 11) + inc);
  }

  int mb_type() const {
    if (d.is_intra_) {
      const int inc = (left() && !left()->has(kMbIntraNxN)) + (top() && !top()->has(kMbIntraNxN));
      return bin(3 + inc) ? intra_type(5, 1) : 0;
    }
    if (!d.is_b_) {
      if (bin(14)) return kIntraInP + (bin(17) ? intra_type(17, 0) : 0);
      if (bin(15)) return bin(17) ? 1 : 2;
      return bin(16) ? 3 : 0;
    }
    const int inc = (left() && !left()->has(kMbDirect)) + (top() && !top()->has(kMbDirect));
    if (!bin(27 + inc)) return 0;
    if (!bin(30)) return 1 + int(bin(32));
    int bits = int(bin(31)) << 3;
    bits |= int(bin(32)) << 2;
    bits |= int(bin(32)) << 1;
    bits |= int(bin(32));
    if (bits < 8) return bits + 3;
    if (bits == 13) return kIntraInB + (bin(32) ? intra_type(32, 0) : 0);
    if (bits == 14) return 11;
    if (bits == 15) return 22;
    return 2 * bits + int(bin(32)) - 4;
  }

  // Bins after the first of an I macroblock type; `wide` is 1 in I slices, whose contexts don't coincide.
  int intra_type(int base, int wide) const {
    if (d.cabac_.terminate()) return kIntraPcm;
    int type = 1 + 12 * int(bin(base + 1));
    if (bin(base + 2)) type += 4 + 4 * int(bin(base + 2 + wide));
    type += 2 * int(bin(base + 3 + wide));
    return type + int(bin(base + 3 + 2 * wide));
  }

  int sub_mb_type() const {
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

  bool transform_8x8() const {
    return bin(399 + (left() && left()->has(kMbTransform8x8)) + (top() && top()->has(kMbTransform8x8)));
  }

  void intra_mode() const {
    if (bin(68)) return;
    for (int i = 0; i < 3; ++i) bin(69);
  }

  int chroma_mode() const {
    const auto differs = [&](int mb) { return mb >= 0 && d.scratch_.contexts[size_t(mb)].chroma_mode != 0; };
    if (!bin(64 + differs(d.near_.left[0]) + differs(d.near_.top))) return 0;
    if (!bin(67)) return 1;
    return bin(67) ? 3 : 2;
  }

  int coded_block_pattern(bool) const {
    const Macroblock* above = top();
    const int up = above ? above->cbp : 0x0F;
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
    const int up_chroma = above ? above->cbp >> 4 : 0;
    if (!bin(77 + (left_chroma != 0) + 2 * (up_chroma != 0))) return luma;
    return luma | (1 + int(bin(81 + (left_chroma == 2) + 2 * (up_chroma == 2)))) << 4;
  }

  int qp_delta() const {
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
      d.direct_at_[cache_at(x, -1)] = above ? above->direct >> (2 + (x >> 1)) & 1 : 0;
    for (int y = 0; y < 4; ++y) {
      const int mb = d.near_.left[y];
      d.direct_at_[cache_at(-1, y)] =
          mb < 0 ? 0 : d.frame_.mbs[size_t(mb)].direct >> ((d.near_.left_row[y] & 2) + 1) & 1;
    }
  }

  int ref_idx(int list, int x, int y) const {
    const int most = d.header_->num_ref_idx[list] << d.field_;
    if (most <= 1) return most - 1;
    const int at = cache_at(x, y);
    int inc = d.ref_[list][at - 1] > 0 && !d.direct_at_[at - 1];
    if (d.ref_[list][at - 8] > 0 && !d.direct_at_[at - 8]) inc += 2;
    int ref = 0;
    while (bin(54 + inc)) {
      if (++ref >= most) return -1;
      inc = (inc >> 2) + 4;
    }
    return ref;
  }

  int mvd_component(int base, int sum) const {
    if (!bin(base + (sum > 2) + (sum > 32))) return 0;
    int value = 1, context = 3;
    while (value < 9 && bin(base + context)) {
      if (value < 4) ++context;
      ++value;
    }
    if (value >= 9) {
      int k = 3;
      while (d.cabac_.bypass()) {
        value += 1 << k;
        if (++k > kMaxPrefix) {
          d.broken_ = true;
          return 0;
        }
      }
      while (k-- > 0) value += int(d.cabac_.bypass()) << k;
    }
    return d.cabac_.bypass() ? -value : value;
  }

  void mvd(int list, int x, int y, int w, int h, Mv& mv) const {
    uint8_t(*difference)[2] = d.mvd_[list];
    const int at = cache_at(x, y);
    const int dx = mvd_component(40, difference[at - 1][0] + difference[at - 8][0]);
    const int dy = mvd_component(47, difference[at - 1][1] + difference[at - 8][1]);
    mv = {int16_t(mv.x + dx), int16_t(mv.y + dy)};
    const uint8_t ax = uint8_t(std::min(std::abs(dx), 127)), ay = uint8_t(std::min(std::abs(dy), 127));
    for (int row = y; row < y + h; ++row)
      for (int column = x; column < x + w; ++column) {
        difference[cache_at(column, row)][0] = ax;
        difference[cache_at(column, row)][1] = ay;
      }
  }

  void no_mvd(int list, int x, int y, int w, int h) const {
    for (int row = y; row < y + h; ++row) std::memset(d.mvd_[list][cache_at(x, row)], 0, size_t(2 * w));
  }

  // 9.3.3.1.1.9 for a neighbour's entry of a cache of counts.
  int coded(uint8_t count) const { return count == 0x40 ? d.cur_->has(kMbIntra) : count != 0; }

  // residual_block_cabac() (7.3.5.3.3) after coded_block_flag: the number of levels.
  template <bool kIs8x8>
  int levels(int category, int max) const {
    Cabac cabac = d.cabac_;
    uint8_t* const contexts = d.contexts_;
    Levels& levels = d.levels_;
    const bool field = d.field_ || d.field_picture_;
    uint8_t* const significant = contexts + kSignificant[field][category];
    uint8_t* const last = contexts + kLast[field][category];
    int count = 0, i = 0;
    const int end = max - 1;
    const int dc_blocks = category == kChromaDcCategory ? d.chroma_rows_ >> 1 : 1;
    for (; i < end; ++i) {
      const int inc = kIs8x8 ? kSignificant8x8[field][i] : category == kChromaDcCategory ? std::min(i / dc_blocks, 2) : i;
      if (!cabac.decision(significant + inc)) continue;
      levels.position[count++] = int16_t(i);
      const int last_inc = kIs8x8 ? kLast8x8[i] : inc;
      if (cabac.decision(last + last_inc)) break;
    }
    if (i == end) levels.position[count++] = int16_t(end);
    levels.count = count;
    uint8_t* const base = contexts + kLevel[category];
    const int most_greater = category == kChromaDcCategory ? 3 : 4;
    int ones = 0, greater = 0;
    for (int n = count - 1; n >= 0; --n) {
      int value = 1;
      if (!cabac.decision(base + (greater ? 0 : std::min(4, 1 + ones)))) {
        ++ones;
      } else {
        uint8_t* const more = base + 5 + std::min(most_greater, greater);
        ++greater;
        ++value;
        while (value < 15 && cabac.decision(more)) ++value;
        if (value == 15) {
          int k = 0;
          while (cabac.bypass()) {
            value += 1 << k;
            if (++k > kMaxPrefix) return -1;
          }
          while (k-- > 0) value += int(cabac.bypass()) << k;
        }
      }
      levels.level[n] = cabac.bypass() ? -value : value;
    }
    d.cabac_ = cabac;
    return count;
  }

  // DC blocks: coded flags are bits of MbContext.
  int dc(int plane, int category, int max) const {
    const auto flag = [&](int mb) -> int {
      return mb < 0 ? d.cur_->has(kMbIntra) : d.scratch_.contexts[size_t(mb)].dc_coded >> plane & 1;
    };
    if (!bin(kCodedFlag[category] + flag(d.near_.left[0]) + 2 * flag(d.near_.top))) return 0;
    return levels<false>(category, max);
  }
  int luma_dc(int plane) const { return dc(plane, kCategory[plane][kDc], 16); }
  int chroma_dc(int plane) const { return dc(plane, kChromaDcCategory, 4 * d.chroma_rows_ / 2); }

  int block(int plane, int x, int y, int category, int max) const {
    const uint8_t* counts = d.counts_[plane];
    const int at = cache_at(x, y);
    if (!bin(kCodedFlag[category] + coded(counts[at - 1]) + 2 * coded(counts[at - 8]))) return 0;
    return levels<false>(category, max);
  }
  int luma_4x4(int plane, int x, int y, bool ac) const {
    return block(plane, x, y, kCategory[plane][ac ? kAc : k4x4Block], ac ? 15 : 16);
  }
  int chroma_ac(int plane, int x, int y) const { return block(plane, x, y, kChromaAcCategory, 15); }

  bool luma_8x8(int plane, int x, int y, bool keep) const {
    const int category = kCategory[plane][k8x8Block], at = cache_at(x, y);
    uint8_t* counts = d.counts_[plane];
    int count = 0;
    if (d.planes_ == 1 || coded_8x8(plane, x, y, category)) {
      count = levels<true>(category, 64);
      if (count < 0) return false;
    }
    // 64 levels would look like a block that is not available.
    for (int i : {0, 1, 8, 9}) counts[at + i] = count > 0;
    if (keep && count > 0) d.sink_->luma_8x8(plane, x, y, d.levels_);
    return true;
  }

  // In 4:4:4 alone. Neighbours with 4x4 transforms don't count (9.3.3.1.1.9, ctxBlockCat 5, 9, 13).
  bool coded_8x8(int plane, int x, int y, int category) const {
    const uint8_t* counts = d.counts_[plane];
    const auto flag = [&](int at, bool outside, int mb) -> int {
      if (outside && mb >= 0 && !d.frame_.mbs[size_t(mb)].has(kMbTransform8x8 | kMbPcm)) return 0;
      return coded(counts[at]);
    };
    const int at = cache_at(x, y);
    return bin(kCodedFlag[category] + flag(at - 1, x == 0, d.near_.left[y]) + 2 * flag(at - 8, y == 0, d.near_.top));
  }
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
      if (!is_intra_) syntax.mark_direct_neighbours();
      syntax.mark_direct(0);
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
  std::memset(ctx_->counts, 16, sizeof ctx_->counts);
  ctx_->dc_coded = 7;
  last_qp_delta_ = 0;
  // QP'Y of I_PCM is 0 (7.4.5); QPY,PRED stays that of the macroblock before.
  cur_->qp = int8_t(-6 * (depth_luma - 8));
  return true;
}

}  // namespace himmel
