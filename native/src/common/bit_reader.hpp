// Bits of an RBSP (7.2, 9.1), without emulation prevention bytes.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "common/errors.hpp"

namespace himmel {

// Bytes that must be readable behind the last byte of every buffer handed to BitReader or Cabac; their values don't
// matter to a conforming stream.
inline constexpr size_t kPadding = 64;

// Reads past the end give bits of the padding and, further on, zeros; they never touch memory outside it. Whoever
// reads asks overrun() afterwards: checking once a macroblock or header costs nothing, checking each bit would.
class BitReader {
 public:
  BitReader() = default;
  BitReader(const uint8_t* data, size_t bytes) : data_(data), bits_(8 * bytes) {}

  size_t position() const { return at_; }
  void seek(size_t bit) { at_ = bit; }
  size_t size_bits() const { return bits_; }
  bool overrun() const { return at_ > bits_; }
  const uint8_t* data() const { return data_; }

  // The next n bits (1 to 32) without moving.
  uint32_t peek(int n) const { return uint32_t(window() >> (64 - n)); }
  void skip(int n) { at_ += size_t(n); }

  uint32_t u(int n) {
    if (n == 0) return 0;
    const uint32_t value = peek(n);
    at_ += size_t(n);
    return value;
  }
  bool flag() {
    const size_t byte = at_ >> 3;
    const bool value = byte < limit() && ((data_[byte] >> (7 - (at_ & 7))) & 1);
    ++at_;
    return value;
  }

  // ue(v), 9.1. Codes of more than 32 leading zeros don't exist: they count as an overrun.
  uint32_t ue() {
    const uint64_t bits = window();
    const int zeros = std::countl_zero(bits);
    if (zeros <= 28) {
      at_ += size_t(2 * zeros + 1);
      return uint32_t(bits >> (63 - 2 * zeros)) - 1;
    }
    if (zeros > 32) {
      at_ = bits_ + 1;
      return 0;
    }
    at_ += size_t(zeros) + 1;
    const uint64_t tail = uint64_t(window() >> (64 - zeros));
    at_ += size_t(zeros);
    return uint32_t((uint64_t(1) << zeros) - 1 + tail);
  }
  // se(v), 9.1.1.
  int32_t se() {
    const uint32_t code = ue();
    return int32_t((code >> 1) + (code & 1)) * ((code & 1) ? 1 : -1);
  }
  // te(v), 9.1.2, for values 0 to `most`.
  uint32_t te(uint32_t most) { return most > 1 ? ue() : uint32_t(!flag()); }

  bool aligned() const { return (at_ & 7) == 0; }

  // 7.2: whether anything comes before rbsp_trailing_bits().
  bool more_rbsp_data() const { return at_ < bits_ && at_ < stop_bit(); }
  // The place of rbsp_stop_one_bit, the last bit that is one; 0 if none is.
  size_t stop_bit() const {
    size_t last = bits_ / 8;
    while (last > 0 && data_[last - 1] == 0) --last;
    return last == 0 ? 0 : 8 * last - 1 - size_t(std::countr_zero(data_[last - 1]));
  }

 private:
  size_t limit() const { return bits_ / 8 + kPadding; }
  // At least 57 valid bits from the current position, at the top.
  uint64_t window() const {
    const size_t byte = at_ >> 3;
    if (byte + 8 > limit()) return 0;
    uint64_t word;
    std::memcpy(&word, data_ + byte, 8);
    return __builtin_bswap64(word) << (at_ & 7);
  }

  const uint8_t* data_ = nullptr;
  size_t bits_ = 0;
  size_t at_ = 0;
};

}  // namespace himmel
