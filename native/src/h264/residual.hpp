// From transform levels of inter macroblocks to residual: scaling (8.5.9 to 8.5.12) without prediction or pictures.
#pragma once

#include <cstdint>

#include "common/residual_blocks.hpp"
#include "h264/cavlc.hpp"
#include "h264/motion.hpp"

namespace himmel::h264 {

class ResidualSink {
 public:
  // Blocks are appended to `blocks`; if `planes` is given the inverse transform is written there as well. With `fine`,
  // 8x8 blocks are split in four by their inverse transform, so that cells of 4 pixels are exact too.
  ResidualSink(ResidualBlocks& blocks, ResidualPlanes* planes, bool fine)
      : blocks_(blocks), planes_(planes), fine_(fine) {}

  void start(const SliceHeader& header, const Macroblock& mb, int x, int row, bool field_of_frame);
  void luma_4x4(int plane, int x, int y, const Levels& levels);
  void luma_8x8(int plane, int x, int y, const Levels& levels);
  void chroma_dc(int plane, const Levels& levels);
  void chroma_ac(int plane, int x, int y, const Levels& levels);
  void finish();

 private:
  struct Scales {
    const Pps* of = nullptr;
    uint16_t s4[16];
    uint16_t s8[64];
  };
  const Scales& scales(int plane);
  void begin_chroma(int plane);
  template <int kSize>
  void luma(int plane, int x, int y, const Levels& levels, const uint8_t* scan);
  void push(int plane, int x, int y, int size, float mean, float energy);
  void emit(int plane, int x, int y, int size, const int32_t* block);
  void emit_lossless(int plane, int x, int y, int size, const int32_t* block);
  void write(int plane, int x, int y, int size, const int32_t* residual);
  void chroma_plane(int plane);
  int column(int plane, int x) const;
  int line(int plane, int y) const;

  ResidualBlocks& blocks_;
  ResidualPlanes* planes_;
  bool fine_;

  const Sps* sps_ = nullptr;
  const Pps* pps_ = nullptr;
  bool field_ = false, bypass_ = false;
  bool places_ = false;    // places inside a chroma block matter, not only sums over it
  int x_ = 0, y_ = 0;      // luma position of the macroblock's first line in the frame
  int qp_[3] = {0, 0, 0};  // QP'Y, QP'C
  Scales scales_[3][6];    // by QP modulo 6
  bool chroma_coded_[3] = {false, false, false};
  int32_t chroma_[3][8][16];  // if places_
  struct ChromaSums {
    float dc[8], energy[8];
  } sums_[3];  // if not: the DC coefficient, and the energy of the others
};

}  // namespace himmel::h264
