// Syntax elements of headers with the ranges that the standard gives them.
#pragma once

#include <cstdint>
#include <string>

#include "common/bit_reader.hpp"

namespace himmel {

[[noreturn]] inline void out_of_range(const char* name, int64_t value, int64_t least, int64_t most) {
  throw StreamError(std::string(name) + " " + std::to_string(value) + " is outside " + std::to_string(least) + " to " +
                    std::to_string(most));
}

inline int64_t check_range(const char* name, int64_t value, int64_t least, int64_t most) {
  if (value < least || value > most) out_of_range(name, value, least, most);
  return value;
}

inline uint32_t ue_at_most(BitReader& bits, uint32_t most, const char* name) {
  const uint32_t value = bits.ue();
  if (value > most) out_of_range(name, value, 0, most);
  return value;
}

inline int32_t se_within(BitReader& bits, int32_t least, int32_t most, const char* name) {
  const int32_t value = bits.se();
  if (value < least || value > most) out_of_range(name, value, least, most);
  return value;
}

inline void check_end(const BitReader& bits, const char* what) {
  if (bits.overrun()) throw StreamError(std::string(what) + " is cut off");
}

}  // namespace himmel
