// Memory that pictures use in turns. Allocators give blocks of their size back to the system, above all where one
// thread frees what another took, and take them again with a fault for each page.
#pragma once

#include <cstddef>
#include <memory>
#include <utility>

namespace himmel {

// Owns a block of at least `bytes`, not initialised, aligned as malloc() does. Thread-safe as a whole, not each block.
class PooledBlock {
 public:
  PooledBlock() = default;
  explicit PooledBlock(size_t bytes);
  ~PooledBlock();
  PooledBlock(PooledBlock&& other) noexcept : data_(std::move(other.data_)), size_(std::exchange(other.size_, 0)) {}
  PooledBlock& operator=(PooledBlock&& other) noexcept {
    std::swap(data_, other.data_), std::swap(size_, other.size_);
    return *this;
  }
  std::byte* data() const { return data_.get(); }

 private:
  std::unique_ptr<std::byte[]> data_;
  size_t size_ = 0;
};

}  // namespace himmel
