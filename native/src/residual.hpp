// From transform levels of inter macroblocks to residual: scaling (8.5.9 to 8.5.12) without prediction or pictures.
#pragma once

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "cavlc.hpp"
#include "motion.hpp"
#include "pool.hpp"

namespace himmel {

// One coded block: sum and sum of squares of its residual in code values.
struct ResidualBlock {
  uint16_t x, y;   // samples of its plane in the frame; of field blocks the first line
  uint8_t plane, size;
  bool field;      // its lines are every second one of the frame
  float sum, energy;
};

// All coded blocks of a picture, in memory that later pictures use again.
class ResidualBlocks {
 public:
  ResidualBlocks() = default;
  ResidualBlocks& operator=(ResidualBlocks&& other) noexcept {
    memory_ = std::move(other.memory_);
    std::swap(data_, other.data_), std::swap(size_, other.size_), std::swap(capacity_, other.capacity_);
    return *this;
  }
  void add(const ResidualBlock& block) {
    if (size_ == capacity_) [[unlikely]] grow();
    data_[size_++] = block;
  }
  const ResidualBlock* begin() const { return data_; }
  const ResidualBlock* end() const { return data_ + size_; }

 private:
  void grow() {
    capacity_ = capacity_ ? 2 * capacity_ : kFirst;
    PooledBlock larger(capacity_ * sizeof(ResidualBlock));
    auto* data = reinterpret_cast<ResidualBlock*>(larger.data());
    std::uninitialized_copy_n(data_, size_, data);
    memory_ = std::move(larger);
    data_ = data;
  }

  static constexpr size_t kFirst = 2048;
  PooledBlock memory_;
  ResidualBlock* data_ = nullptr;
  size_t size_ = 0, capacity_ = 0;
};

// Planes of exact spatial residual, as large as the coded frame.
struct ResidualPlanes {
  int width[3] = {0, 0, 0}, height[3] = {0, 0, 0};
  std::vector<int32_t> plane[3];
};

class ResidualSink {
 public:
  // Blocks are appended to `blocks`; if `planes` is given the inverse transform is written there as well. With `fine`, 8x8 blocks are
  // split in four by their inverse transform, so that cells of 4 pixels are exact too.
  ResidualSink(ResidualBlocks& blocks, ResidualPlanes* planes, bool fine)
      : blocks_(blocks), planes_(planes), fine_(fine) {}

  void start(const SliceHeader& header, const Macroblock& mb, int x, int row, bool field_of_frame);
  void luma_4x4(int plane, int x, int y, const Levels& levels);
  void luma_8x8(int plane, int x, int y, const Levels& levels);
  void chroma_dc(int plane, const Levels& levels);
  void chroma_ac(int plane, int x, int y, const Levels& levels);
  void finish();

 private:
  struct Scales { const Pps* of = nullptr; uint16_t s4[16]; uint16_t s8[64]; };
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
  bool places_ = false;  // what stands where inside a chroma block matters, not only sums over it
  int x_ = 0, y_ = 0;      // luma position of the macroblock's first line in the frame
  int qp_[3] = {0, 0, 0};         // QP'Y, QP'C
  Scales scales_[3][6];  // by QP modulo 6
  bool chroma_coded_[3] = {false, false, false};
  int32_t chroma_[3][8][16];                          // if places_
  struct ChromaSums { float dc[8], energy[8]; } sums_[3];  // if not: the DC coefficient, and the energy of the others
};

}  // namespace himmel
