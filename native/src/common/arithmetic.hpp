// The arithmetic decoding engine of CABAC and its context variables. Clauses are those of H.264 (9.3.1.2, 9.3.3.2);
// H.265 has the same engine.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "common/bit_reader.hpp"

namespace himmel {

namespace arithmetic_detail {

// What a bin does to the registers, by context state (pStateIdx << 1 | valMPS), one cache line each. Ranges are in the
// top 9 bits, as in Cabac. Their top 3 bits are 4 + qCodIRangeIdx, and the table is laid out so that these bits are
// the index as they are: each instruction between one range and the next makes every bin take longer.
struct alignas(64) Transition {
  uint8_t bytes[64];

  // codIRange of the least probable symbol, bytes 32 to 63.
  uint64_t least(size_t top) const {
    uint64_t range;
    std::memcpy(&range, bytes + 8 * top, sizeof range);
    return range;
  }
  // By how much renormalisation moves it, bytes 4 to 7.
  uint8_t shift(size_t top) const { return bytes[top]; }
  // The next state.
  uint8_t after_most() const { return bytes[0]; }
  uint8_t after_least() const { return bytes[1]; }
};
extern const std::array<Transition, 128> kTransitions;

}  // namespace arithmetic_detail

// The registers of the engine; see Bins.
//
// `value_` holds codIOffset in its top 9 bits and the bits that follow it below; `spare_` counts the valid ones among
// those.
class Cabac {
 public:
  void start(const uint8_t* data, size_t bytes, size_t first_byte) {
    begin_ = data;
    next_ = data + first_byte;
    limit_ = data + bytes + kPadding;
    end_ = data + bytes;
    value_ = 0;
    range_ = uint64_t(510) << 55;
    spare_ = -9;
    refill();
  }

  // 9.3.3.2.1 with renormalisation (9.3.3.2.2). Both outcomes are worked out and one is chosen without a branch: what
  // waits for codIRange is a shift, a load, a difference, a comparison, the choice and another shift.
  [[gnu::always_inline]] uint32_t decision(uint8_t* context) {
    const uint32_t state = *context;
    const arithmetic_detail::Transition& transition = arithmetic_detail::kTransitions[state];
    const size_t top = size_t(range_ >> 61);  // codIRange is 256 or more
    const uint64_t least = transition.least(top);
    range_ -= least;
    // The most probable symbol leaves 128 or more: one bit at most.
    uint32_t shift = uint32_t(~range_ >> 63);
    uint32_t next = transition.after_most();
    const bool other = choose(least, transition.shift(top), transition.after_least(), shift, next);
    *context = uint8_t(next);
    range_ <<= shift;
    value_ <<= shift;
    spare_ -= int(shift);
    if (spare_ < 0) [[unlikely]]
      refill();
    return (state & 1) ^ uint32_t(other);
  }

  // 9.3.3.2.3
  [[gnu::always_inline]] uint32_t bypass() {
    // The bit that follows codIOffset takes part in the comparison.
    if (spare_ == 0) [[unlikely]]
      refill();
    const uint64_t half = range_ >> 1;
    const uint64_t one = -uint64_t(value_ >= half);
    value_ = (value_ - (half & one)) << 1;
    --spare_;
    return uint32_t(one) & 1;
  }

  // 9.3.3.2.2.3: end_of_slice_flag and I_PCM.
  uint32_t terminate() {
    range_ -= uint64_t(2) << 55;
    const bool end = value_ >= range_;
    if (end) {
      value_ -= range_;
      range_ = uint64_t(2) << 55;
    }
    const int shift = std::countl_zero(range_);
    range_ <<= shift;
    value_ <<= shift;
    spare_ -= shift;
    if (spare_ < 0) refill();
    return end;
  }

  // Goes on where a copy has arrived.
  void take_over(const Cabac& copy) {
    value_ = copy.value_, range_ = copy.range_;
    spare_ = copy.spare_, next_ = copy.next_;
  }

  // Bits of the RBSP that the engine has read, counted from its first byte.
  size_t position() const { return size_t(8 * (next_ - begin_) - spare_); }
  // Before terminate() of the last macroblock the engine has read just up to rbsp_stop_one_bit, never past the data.
  bool overrun() const { return position() > size_t(8 * (end_ - begin_)); }

 private:
  // Whether the least probable symbol came (codIOffset >= codIRange), and then its values instead of those of the
  // other one. Compilers would rather branch, which is slower on such data.
  [[gnu::always_inline]] bool choose(uint64_t least, uint32_t shift_least, uint32_t next_least, uint32_t& shift,
                                     uint32_t& next) {
#if defined(__x86_64__) && defined(__GNUC__)
    bool other;
    uint64_t rest = value_;
    asm("subq %[range], %[rest]\n\t"
        "cmovaeq %[rest], %[value]\n\t"
        "cmovaeq %[least], %[range]\n\t"
        "cmovael %[shift_least], %[shift]\n\t"
        "cmovael %[next_least], %[next]\n\t"
        "setae %[other]"
        : [rest] "+&r"(rest), [value] "+&r"(value_), [range] "+&r"(range_), [shift] "+&r"(shift), [next] "+&r"(next),
          [other] "=&r"(other)
        : [least] "r"(least), [shift_least] "r"(shift_least), [next_least] "r"(next_least)
        : "cc");
    return other;
#else
    const bool other = value_ >= range_;
    value_ = other ? value_ - range_ : value_;
    range_ = other ? least : range_;
    shift = other ? shift_least : shift;
    next = other ? next_least : next;
    return other;
#endif
  }

  [[gnu::always_inline]] void refill() {
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
  uint64_t range_ = uint64_t(510) << 55;
  int spare_ = 0;
  const uint8_t* next_ = nullptr;
  const uint8_t* end_ = nullptr;
  const uint8_t* limit_ = nullptr;
  const uint8_t* begin_ = nullptr;
};

// A copy of the engine for some syntax elements in a row, a local variable and so in the processor's registers:
// contexts are bytes, which might alias anything else. The engine goes on from it when it goes out of scope.
class Bins {
 public:
  Bins(Cabac& engine, uint8_t* contexts) : engine_(engine), cabac_(engine), contexts_(contexts) {}
  ~Bins() { engine_.take_over(cabac_); }
  Bins(const Bins&) = delete;
  Bins& operator=(const Bins&) = delete;

  [[gnu::always_inline]] uint32_t operator()(int context) { return cabac_.decision(contexts_ + context); }
  [[gnu::always_inline]] uint32_t bypass() { return cabac_.bypass(); }
  uint32_t terminate() { return cabac_.terminate(); }

  // An Exp-Golomb suffix of order k (9.3.2.3); negative where its prefix is longer than in any conforming stream.
  [[gnu::always_inline]] int suffix(int k) {
    constexpr int kMaxPrefix = 24;
    int value = 0;
    while (bypass()) {
      value += 1 << k;
      if (++k > kMaxPrefix) return -1;
    }
    while (k-- > 0) value += int(bypass()) << k;
    return value;
  }

 private:
  Cabac& engine_;
  Cabac cabac_;
  uint8_t* const contexts_;
};

// The context variable that m and n of a table give at the start of a slice (9.3.1.1): pStateIdx << 1 | valMPS.
uint8_t initial_context(int m, int n, int slice_qp);

}  // namespace himmel
