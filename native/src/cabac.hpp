// The arithmetic decoding engine (9.3.1.2, 9.3.3.2) and its context variables.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "bit_reader.hpp"

namespace himmel {

namespace cabac_detail {
// State is pStateIdx << 1 | valMPS. Ranges by [qCodIRangeIdx][state], successors by [state] after the most probable symbol
// and [128 + state] after the other one.
extern const std::array<uint8_t, 512> kLps;
extern const std::array<uint8_t, 256> kNext;
}  // namespace cabac_detail

// The registers of the engine. Copied into a local variable around long loops, so that they stay in the processor's.
//
// `value_` holds codIOffset in its top 9 bits and the bits that follow it below; `spare_` counts the valid ones among those.
class Cabac {
 public:
  void start(const uint8_t* data, size_t bytes, size_t first_byte) {
    begin_ = data;
    next_ = data + first_byte;
    limit_ = data + bytes + kPadding;
    end_ = data + bytes;
    value_ = 0;
    range_ = 510;
    spare_ = -9;
    refill();
  }

  // 9.3.3.2.1 with renormalisation (9.3.3.2.2), free of branches that depend on the data.
  [[gnu::always_inline]] uint32_t decision(uint8_t* context) {
    uint32_t state = *context;
    const uint32_t lps = cabac_detail::kLps[((range_ & 0xC0) << 1) + state];
    range_ -= lps;
    const uint64_t scaled = uint64_t(range_) << 55;
    const uint64_t other = -uint64_t(value_ >= scaled);
    value_ -= scaled & other;
    range_ += (lps - range_) & uint32_t(other);
    *context = cabac_detail::kNext[state + (uint32_t(other) & 128)];
    state ^= uint32_t(other);
    const int shift = std::countl_zero(range_) - 23;
    range_ <<= shift;
    value_ <<= shift;
    spare_ -= shift;
    if (spare_ < 0) refill();
    return state & 1;
  }

  // 9.3.3.2.3
  [[gnu::always_inline]] uint32_t bypass() {
    // The bit that follows codIOffset takes part in the comparison.
    if (spare_ == 0) refill();
    const uint64_t half = uint64_t(range_) << 54;
    const uint64_t one = -uint64_t(value_ >= half);
    value_ = (value_ - (half & one)) << 1;
    --spare_;
    return uint32_t(one) & 1;
  }

  // 9.3.3.2.2.3: end_of_slice_flag and I_PCM.
  uint32_t terminate() {
    range_ -= 2;
    const bool end = value_ >= (uint64_t(range_) << 55);
    if (end) {
      value_ -= uint64_t(range_) << 55;
      range_ = 2;
    }
    const int shift = std::countl_zero(range_) - 23;
    range_ <<= shift;
    value_ <<= shift;
    spare_ -= shift;
    if (spare_ < 0) refill();
    return end;
  }

  // Bits of the RBSP that the engine has read, counted from its first byte.
  size_t position() const { return size_t(8 * (next_ - begin_) - spare_); }
  // Before terminate() of the last macroblock the engine has read just up to rbsp_stop_one_bit, never past the data.
  bool overrun() const { return position() > size_t(8 * (end_ - begin_)); }

 private:
  void refill() {
    uint64_t word = 0;
    if (next_ + 8 <= limit_) {
      std::memcpy(&word, next_, 8);
      word = __builtin_bswap64(word);
    }
    // Bits of a byte that only partly fits are or'ed in again next time, with the same values.
    const int valid = spare_ + 9;
    value_ |= word >> valid;
    const int bytes = (63 - valid) >> 3;
    next_ += bytes;
    spare_ += 8 * bytes;
  }

  uint64_t value_ = 0;
  uint32_t range_ = 510;
  int spare_ = 0;
  const uint8_t* next_ = nullptr;
  const uint8_t* end_ = nullptr;
  const uint8_t* limit_ = nullptr;
  const uint8_t* begin_ = nullptr;
};

// 9.3.1.1: all contexts of a slice; `table` is 0 for I slices, else 1 + cabac_init_idc.
void init_contexts(std::array<uint8_t, 1024>& contexts, int table, int slice_qp);

}  // namespace himmel
