// What parsing leaves of a frame: its macroblocks, vectors, references. Arrays are in the raster order of the FRAME:
// macroblock (x, y) of a field of parity p is in row 2 * y + p, the top (bottom) field macroblock of an MBAFF pair
// in the pair's first (second) row.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "common/pool.hpp"
#include "common/references.hpp"
#include "h264/slice_header.hpp"

namespace himmel::h264 {

enum MbFlag : uint16_t {
  kMbIntra = 1 << 0,
  kMbIntra16x16 = 1 << 1,
  kMbIntraNxN = 1 << 2,  // Intra_4x4 or Intra_8x8; kMbTransform8x8 tells which
  kMbPcm = 1 << 3,
  kMbSkip = 1 << 4,    // P_Skip or B_Skip
  kMbDirect = 1 << 5,  // B_Skip or B_Direct_16x16
  kMbTransform8x8 = 1 << 6,
  kMbField = 1 << 7,    // field macroblock of an MBAFF frame, or any macroblock of a field picture
  kMbBypass = 1 << 8,   // TransformBypassModeFlag (lossless)
  kMbDamaged = 1 << 9,  // never parsed, or where parsing had to stop
  kMbBottom = 1 << 10,  // of field macroblocks: belongs to the bottom field
};

// Partitions of an inter macroblock, and of its quarters.
enum Shape : uint8_t { k16x16 = 0, k16x8 = 1, k8x16 = 2, k8x8 = 3, k8x4 = 4, k4x8 = 5, k4x4 = 6 };

inline constexpr uint16_t kNoSlice = 0xFFFF;

struct Macroblock {
  uint16_t flags = kMbDamaged;
  uint16_t slice = kNoSlice;                  // index into the picture's slices
  uint16_t bits = 0;                          // of slice data, saturated
  int8_t qp = 0;                              // QPY
  uint8_t cbp = 0;                            // CodedBlockPatternLuma | CodedBlockPatternChroma << 4; 0x2F for I_PCM
  uint8_t shape = k16x16;                     // k16x16 to k8x8
  uint8_t direct = 0;                         // bit q: quarter q was derived by direct prediction
  uint8_t sub[4] = {k8x8, k8x8, k8x8, k8x8};  // of the quarters of a k8x8 macroblock
  bool has(uint16_t mask) const { return (flags & mask) != 0; }
};

struct FrameMotion {
  int width_mbs = 0, height_mbs = 0, lists = 0;
  Macroblock* mbs = nullptr;
  Mv* mv[2] = {nullptr, nullptr};  // 16 per macroblock, 4x4 blocks in raster order; zero where ref is negative
  int8_t* ref[2] = {
      nullptr, nullptr};  // 4 per macroblock: refIdx of each quarter, -1 none. MBAFF field macroblocks count fields

  size_t size() const { return size_t(width_mbs) * size_t(height_mbs); }
  // All macroblocks unparsed. List 1 exists only where a B slice does.
  void allocate(int width, int height, int num_lists) {
    width_mbs = width, height_mbs = height, lists = num_lists;
    const size_t of_list = (16 * sizeof(Mv) + 4) * size();
    memory_ = PooledBlock(size_t(num_lists) * of_list + sizeof(Macroblock) * size());
    std::byte* at = memory_.data();
    for (int list = 0; list < num_lists; ++list, at += of_list) {
      mv[list] = reinterpret_cast<Mv*>(at);
      ref[list] = reinterpret_cast<int8_t*>(at + 16 * sizeof(Mv) * size());
    }
    mbs = reinterpret_cast<Macroblock*>(at);
    std::uninitialized_fill_n(mbs, size(), Macroblock{});
  }

 private:
  PooledBlock memory_;
};

// A picture's slice as it is needed to parse it: headers and references, where its bytes are.
struct Slice {
  SliceHeader header;
  SliceRefs refs;
  size_t offset = 0, size = 0;  // of its NAL unit in the picture's bytes
};

// Which field or frame a reference means, comparable across pictures.
inline int64_t picture_key(int32_t frame, Structure structure) { return 4 * int64_t(frame) + structure; }

// The co-located picture of a B slice (8.4.1.2.1): motion of the frame that RefPicList1[0] belongs to, and its slices.
struct Colocated {
  const FrameMotion* motion = nullptr;  // null: lost; every macroblock then counts as intra
  const std::vector<Slice>* slices = nullptr;
};

}  // namespace himmel::h264
