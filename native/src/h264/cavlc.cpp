#include "h264/cavlc.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>

#include "h264/cavlc_tables.hpp"

namespace himmel::h264 {

namespace {

// Codewords spread over all continuations: value << 8 | length, 0 where there is no codeword.
template <size_t kBits>
using Lookup = std::array<uint16_t, size_t(1) << kBits>;

template <class Table>
void spread(Table& table, int bits, CodeWord word, int value) {
  if (word.length == 0 || word.length > bits) return;
  const size_t first = size_t(word.bits) << (bits - word.length), count = size_t(1) << (bits - word.length);
  std::fill_n(table.begin() + ptrdiff_t(first), count, uint16_t(value << 8 | word.length));
}

// coeff_token: by the first 8 bits, or, where these are below 16, by 16 bits. No other codeword is longer than 8 bits.
struct TokenLookup {
  Lookup<8> head{};
  std::array<uint16_t, 4096> tail{};
};

struct Lookups {
  std::array<TokenLookup, 6> token;
  std::array<Lookup<9>, 15> zeros{};
  std::array<Lookup<3>, 3> zeros420{};
  std::array<Lookup<5>, 7> zeros422{};
  std::array<Lookup<3>, 6> run{};

  Lookups() {
    for (size_t column = 0; column < 6; ++column)
      for (int total = 0; total <= 16; ++total)
        for (int ones = 0; ones < 4; ++ones) {
          const CodeWord word = kCoeffToken[column][total][ones];
          const bool is_tail = word.length >= 4 && word.bits >> (word.length - 4) == 0;
          if (is_tail)
            spread(token[column].tail, 16, word, total << 2 | ones);
          else
            spread(token[column].head, 8, word, total << 2 | ones);
        }
    for (size_t i = 0; i < 15; ++i)
      for (int value = 0; value < 16; ++value) spread(zeros[i], 9, kTotalZeros[i][value], value);
    for (size_t i = 0; i < 3; ++i)
      for (int value = 0; value < 4; ++value) spread(zeros420[i], 3, kTotalZeros420Dc[i][value], value);
    for (size_t i = 0; i < 7; ++i)
      for (int value = 0; value < 8; ++value) spread(zeros422[i], 5, kTotalZeros422Dc[i][value], value);
    for (size_t i = 0; i < 6; ++i)
      for (int value = 0; value < 7; ++value) spread(run[i], 3, kRunBefore[i][value], value);
  }
};

const Lookups kLookups;

constexpr int kMaxPrefix = 25;  // of level_prefix: longer ones don't fit a level of 32 bits

// 9.2.2.1: by suffixLength, the largest level that does not make it grow.
constexpr int32_t kGrowth[7] = {3, 3, 6, 12, 24, 48, INT32_MAX};

size_t token_column(int nC) {
  if (nC < 0) return nC == -1 ? 4 : 5;
  return nC < 2 ? 0 : nC < 4 ? 1 : nC < 8 ? 2 : 3;
}

// 9.2.2: levels of one block into levels.level[0..total); false where the syntax is broken.
bool read_levels(BitReader& bits, int total, int ones, int32_t* level) {
  if (ones > 0) {
    const uint32_t signs = bits.u(ones);
    for (int i = 0; i < ones; ++i) level[i] = signs >> (ones - 1 - i) & 1 ? -1 : 1;
  }
  int suffix_length = total > 10 && ones < 3;
  for (int i = ones; i < total; ++i) {
    const uint32_t head = bits.peek(32);
    const int prefix = std::countl_zero(head);
    int32_t code;
    if (prefix < 14 || (prefix == 14 && suffix_length > 0)) {
      // 15 + 6 bits at most: prefix and suffix from one look.
      const uint32_t suffix = uint32_t(uint64_t(head << (prefix + 1)) >> (32 - suffix_length));
      code = (prefix << suffix_length) + int32_t(suffix);
      bits.skip(prefix + 1 + suffix_length);
    } else {
      if (prefix > kMaxPrefix) return false;
      bits.skip(prefix + 1);
      code = (std::min(15, prefix) << suffix_length) + int32_t(bits.u(prefix == 14 ? 4 : prefix - 3));
      if (prefix >= 15 && suffix_length == 0) code += 15;
      if (prefix >= 16) code += (1 << (prefix - 3)) - 4096;
    }
    if (i == ones && ones < 3) code += 2;
    const int32_t size = (code + 2) >> 1, sign = -(code & 1);
    level[i] = (size ^ sign) - sign;
    suffix_length = std::max(suffix_length, 1) + (size > kGrowth[suffix_length]);
  }
  return true;
}

// run_before (Table 9-10), or -1.
int read_run(BitReader& bits, int zeros_left) {
  const uint32_t head = bits.peek(3);
  if (zeros_left <= 6) {
    const uint16_t found = kLookups.run[size_t(zeros_left - 1)][head];
    bits.skip(found & 255);
    return found >> 8;
  }
  if (head != 0) {
    bits.skip(3);
    return int(7 - head);
  }
  const int zeros = std::countl_zero(bits.peek(16) << 16 | 0x8000);
  bits.skip(zeros + 1);
  return zeros + 4;
}

int read_block(BitReader& bits, int nC, int max_coefficients, Levels& out) {
  const TokenLookup& lookup = kLookups.token[token_column(nC)];
  const uint32_t head = bits.peek(16);
  const uint16_t token = head < 4096 ? lookup.tail[head] : lookup.head[head >> 8];
  if (token == 0) return -1;
  bits.skip(token & 255);
  const int total = token >> 10, ones = token >> 8 & 3;
  out.count = total;
  if (total == 0) return 0;
  if (total > max_coefficients || !read_levels(bits, total, ones, out.level)) return -1;

  int zeros_left = 0;
  if (total < max_coefficients) {
    const size_t index = size_t(total - 1);
    const uint16_t found = max_coefficients == 4   ? kLookups.zeros420[index][bits.peek(3)]
                           : max_coefficients == 8 ? kLookups.zeros422[index][bits.peek(5)]
                                                   : kLookups.zeros[index][bits.peek(9)];
    if (found == 0) return -1;
    bits.skip(found & 255);
    zeros_left = found >> 8;
    if (total + zeros_left > max_coefficients) return -1;
  }
  int position = total + zeros_left - 1;
  out.position[0] = int16_t(position);
  int i = 1;
  for (; i < total && zeros_left > 0; ++i) {
    const int run = read_run(bits, zeros_left);
    if (run > zeros_left) return -1;
    zeros_left -= run;
    position -= run + 1;
    out.position[i] = int16_t(position);
  }
  for (; i < total; ++i) out.position[i] = int16_t(total - 1 - i);
  return total;
}

}  // namespace

int read_cavlc_block(BitReader& bits, int nC, int max_coefficients, Levels* levels) {
  Levels dropped;
  BitReader own = bits;  // kept in registers, as nothing else can point at it
  const int total = read_block(own, nC, max_coefficients, levels ? *levels : dropped);
  bits.seek(own.position());
  return total;
}

// Table 9-4.
const uint8_t kCodedBlockPattern[2][2][48] = {
    {{15, 0, 7, 11, 13, 14, 3, 5, 10, 12, 1, 2, 4, 8, 6, 9}, {0, 1, 2, 4, 8, 3, 5, 10, 12, 15, 7, 11, 13, 14, 6, 9}},
    {{47, 31, 15, 0,  23, 27, 29, 30, 7, 11, 13, 14, 39, 43, 45, 46, 16, 3,  5,  10, 12, 19, 21, 26,
      28, 35, 37, 42, 44, 1,  2,  4,  8, 17, 18, 20, 24, 6,  9,  22, 25, 32, 33, 34, 36, 40, 38, 41},
     {0,  16, 1,  2,  4,  8,  32, 3,  5,  10, 12, 15, 47, 7,  11, 13, 14, 6,  9,  31, 35, 37, 42, 44,
      33, 34, 36, 40, 39, 43, 45, 46, 17, 18, 20, 24, 19, 21, 26, 28, 23, 27, 29, 30, 22, 25, 38, 41}}};

}  // namespace himmel::h264
