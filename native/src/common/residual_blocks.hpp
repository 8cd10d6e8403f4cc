// The residual of a picture as parsing leaves it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "common/pool.hpp"

namespace himmel {

// One coded block: sum and sum of squares of its residual in code values.
struct ResidualBlock {
  uint16_t x, y;  // samples of its plane in the frame; of field blocks the first line
  uint8_t plane, size;
  bool field;  // its lines are every second one of the frame
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
    if (size_ == capacity_) [[unlikely]]
      grow();
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

}  // namespace himmel
