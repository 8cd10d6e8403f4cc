// Transform levels in CABAC (7.3.5.3.3, 9.3.3.1.1.9, 9.3.3.1.3). Included by syntax_cabac.cpp alone.
#pragma once

#include <algorithm>
#include <bit>

#include "h264/cabac_tables.hpp"
#include "h264/residual.hpp"
#include "h264/slice_state.hpp"

namespace himmel::h264 {

namespace cabac_blocks {

// Table 9-34 with Table 9-40: first context of each syntax element of a block, by ctxBlockCat.
constexpr uint16_t kCodedFlag[14] = {85, 89, 93, 97, 101, 1012, 460, 464, 468, 1016, 472, 476, 480, 1020};
constexpr uint16_t kSignificant[2][14] = {{105, 120, 134, 149, 152, 402, 484, 499, 513, 660, 528, 543, 557, 718},
                                          {277, 292, 306, 321, 324, 436, 776, 791, 805, 675, 820, 835, 849, 733}};
constexpr uint16_t kLast[2][14] = {{166, 181, 195, 210, 213, 417, 572, 587, 601, 690, 616, 631, 645, 748},
                                   {338, 353, 367, 382, 385, 451, 864, 879, 893, 699, 908, 923, 937, 757}};
constexpr uint16_t kLevel[14] = {227, 237, 247, 257, 266, 426, 952, 962, 972, 708, 982, 992, 1002, 766};

// ctxBlockCat of each kind of luma block, by plane.
enum { kDc = 0, kAc = 1, k4x4Block = 2, k8x8Block = 3 };
constexpr uint8_t kCategory[3][4] = {{0, 1, 2, 5}, {6, 7, 8, 9}, {10, 11, 12, 13}};
constexpr int kChromaDcCategory = 3, kChromaAcCategory = 4;

// ctxIdxInc of significant_coeff_flag and last_significant_coeff_flag in chroma DC blocks: Min(numDecod / NumC8x8, 2).
constexpr uint8_t kChromaDcInc[2][8] = {{0, 1, 2, 2, 2, 2, 2, 2}, {0, 0, 1, 1, 2, 2, 2, 2}};

// coeff_abs_level_minus1 (9.3.3.1.3) by what went before in the block: 0 to 3 levels of one and none above, then 1 to
// 4 or more above. ctxIdxInc of the first bin and of the others, and the next of these states after a one and after a
// larger level.
struct LevelState {
  uint8_t first, others, after_one, after_more;
};
constexpr LevelState kLevelStates[8] = {{1, 5, 1, 4}, {2, 5, 2, 4}, {3, 5, 3, 4}, {4, 5, 3, 4},
                                        {0, 6, 4, 5}, {0, 7, 5, 6}, {0, 8, 6, 7}, {0, 9, 7, 7}};

}  // namespace cabac_blocks

// Reads the blocks of one macroblock. Where levels are not kept (`kKeep` false), only their number is found out.
template <bool kKeep>
struct CabacBlocks {
  SliceState& s;
  const bool field;

  explicit CabacBlocks(SliceState& state) : s(state), field(state.field || state.field_picture) {}

  // One for each block: as a member it would stay in memory, and each bin wait for what the one before has stored.
  Bins open() const { return Bins(s.cabac, s.contexts); }

  // What is kept of the number of levels of a block: two flags make a context.
  static uint8_t kept(int count) { return count > 0; }

  // residual_block_cabac() after coded_block_flag. `inc`: context of the flags at each place, and of the last ones.
  template <class Inc, class LastInc>
  [[gnu::always_inline]] int levels(Bins& bins, int category, int max, Inc inc, LastInc last_inc) {
    using namespace cabac_blocks;
    const int significant = kSignificant[field][category], last = kLast[field][category], base = kLevel[category];
    Levels& levels = s.levels;
    int count = 0, i = 0;
    const int end = max - 1;
    for (; i < end; ++i) {
      if (!bins(significant + inc(i))) continue;
      if constexpr (kKeep) levels.position[count] = int16_t(i);
      ++count;
      if (bins(last + last_inc(i))) break;
    }
    if (i == end) {
      if constexpr (kKeep) levels.position[count] = int16_t(end);
      ++count;
    }
    if constexpr (kKeep) levels.count = count;
    // Chroma DC has one context less.
    const int most_others = category == kChromaDcCategory ? 8 : 9;
    const LevelState* state = kLevelStates;
    for (int n = count - 1; n >= 0; --n) {
      int value = 1;
      if (!bins(base + state->first)) {
        state = kLevelStates + state->after_one;
      } else {
        const int more = base + std::min<int>(state->others, most_others);
        state = kLevelStates + state->after_more;
        value = 2;
        while (value < 15 && bins(more)) ++value;
        if (value == 15) {
          const int suffix = bins.suffix(0);
          if (suffix < 0) return -1;
          value += suffix;
        }
      }
      const bool negative = bins.bypass();
      if constexpr (kKeep) levels.level[n] = negative ? -value : value;
    }
    return count;
  }
  [[gnu::always_inline]] int levels(Bins& bins, int category, int max) {
    const auto place = [](int i) { return i; };
    return levels(bins, category, max, place, place);
  }

  // DC blocks: coded flags are bits of MbContext.
  [[gnu::always_inline]] bool dc_coded(Bins& bins, int plane, int category) {
    const auto flag = [&](int mb) -> int {
      return mb < 0 ? s.cur->has(kMbIntra) : s.scratch.contexts[size_t(mb)].dc_coded >> plane & 1;
    };
    return bins(cabac_blocks::kCodedFlag[category] + flag(s.near.left[0]) + 2 * flag(s.near.top));
  }
  int luma_dc(int plane) {
    const int category = cabac_blocks::kCategory[plane][cabac_blocks::kDc];
    Bins bins = open();
    return dc_coded(bins, plane, category) ? levels(bins, category, 16) : 0;
  }
  int chroma_dc(int plane) {
    constexpr int category = cabac_blocks::kChromaDcCategory;
    Bins bins = open();
    if (!dc_coded(bins, plane, category)) return 0;
    const uint8_t* incs = cabac_blocks::kChromaDcInc[s.chroma_rows == 4];
    const auto inc = [&](int i) { return incs[i]; };
    return levels(bins, category, 2 * s.chroma_rows, inc, inc);
  }

  int block(int plane, int x, int y, int category, int max) {
    const uint8_t* counts = s.counts[plane] + cache_at(x, y);
    Bins bins = open();
    if (!bins(cabac_blocks::kCodedFlag[category] + counts[-1] + 2 * counts[-8])) return 0;
    return levels(bins, category, max);
  }
  int luma_4x4(int plane, int x, int y, bool ac) {
    using namespace cabac_blocks;
    return block(plane, x, y, kCategory[plane][ac ? kAc : k4x4Block], ac ? 15 : 16);
  }
  int chroma_ac(int plane, int x, int y) { return block(plane, x, y, cabac_blocks::kChromaAcCategory, 15); }

  bool luma_8x8(int plane, int x, int y) {
    using namespace cabac_blocks;
    const int category = kCategory[plane][k8x8Block];
    const int count = levels_8x8(plane, x, y, category);
    if (count < 0) return false;
    uint8_t* counts = s.counts[plane] + cache_at(x, y);
    counts[0] = counts[1] = counts[8] = counts[9] = count > 0;
    if (kKeep && count > 0) s.sink->luma_8x8(plane, x, y, s.levels);
    return true;
  }

  int levels_8x8(int plane, int x, int y, int category) {
    Bins bins = open();
    if (s.planes > 1 && !coded_8x8(bins, plane, x, y, category)) return 0;
    const uint8_t* incs = kSignificant8x8[field];
    return levels(bins, category, 64, [&](int i) { return incs[i]; }, [](int i) { return kLast8x8[i]; });
  }

  // In 4:4:4 alone. Neighbours with 4x4 transforms don't count (9.3.3.1.1.9, ctxBlockCat 5, 9, 13).
  [[gnu::always_inline]] bool coded_8x8(Bins& bins, int plane, int x, int y, int category) {
    const uint8_t* counts = s.counts[plane];
    const auto flag = [&](int at, bool outside, int mb) -> int {
      if (outside && mb >= 0 && !s.frame.mbs[size_t(mb)].has(kMbTransform8x8 | kMbPcm)) return 0;
      return counts[at];
    };
    const int at = cache_at(x, y);
    return bins(cabac_blocks::kCodedFlag[category] + flag(at - 1, x == 0, s.near.left[y]) +
                2 * flag(at - 8, y == 0, s.near.top));
  }
};

}  // namespace himmel::h264
