// CAVLC (9.2 of ITU-T H.264): the codewords as prefix codes, worked examples, and blocks written by a small encoder.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <iterator>
#include <random>
#include <string>
#include <vector>

#include "h264/cavlc.hpp"
#include "h264/cavlc_tables.hpp"

using namespace himmel;
using namespace himmel::h264;

namespace {

int failures = 0;

void check(bool right, const std::string& what) {
  if (right) return;
  if (++failures <= 20) std::printf("wrong: %s\n", what.c_str());
}

using Block = std::vector<int32_t>;  // coeffLevel

struct Random {
  std::mt19937 engine{1};
  uint32_t operator()() { return uint32_t(engine()); }
  // 1 to 2^bits of either sign.
  int32_t level(uint32_t bits) {
    const int32_t size = int32_t(1 + (*this)() % (1u << bits));
    return (*this)() & 1 ? size : -size;
  }
};

std::string binary(uint32_t value, int length) {
  std::string out;
  for (int i = length - 1; i >= 0; --i) out += value >> i & 1 ? '1' : '0';
  return out;
}

// An RBSP on the heap with nothing but the padding behind it, so that a sanitizer sees reads beyond.
struct Buffer {
  std::vector<uint8_t> bytes;
  BitReader bits;

  explicit Buffer(const std::string& text, uint8_t padding = 0) {
    const size_t size = (text.size() + 7) / 8;
    bytes.assign(size + kPadding, padding);
    std::fill_n(bytes.begin(), size, uint8_t(0));
    for (size_t i = 0; i < text.size(); ++i)
      if (text[i] == '1') bytes[i / 8] = uint8_t(bytes[i / 8] | 0x80 >> (i & 7));
    bits = BitReader(bytes.data(), size);
  }
};

struct Shape {
  const char* name;
  int nC, column, max;
};

// Every column of Table 9-5 with every length of block that uses it.
constexpr Shape kShapes[] = {
    {"0", 0, 0, 16}, {"1", 1, 0, 15}, {"2", 2, 1, 16},   {"3", 3, 1, 15},        {"4", 4, 2, 16},
    {"7", 7, 2, 15}, {"8", 8, 3, 16}, {"16", 16, 3, 15}, {"DC 4:2:0", -1, 4, 4}, {"DC 4:2:2", -2, 5, 8},
};

// No codeword begins another, and what all of them leave free, in units of 2^-16, is what the standard leaves free.
void prefix_code(const std::string& name, const CodeWord* words, size_t count, int codewords, long free) {
  long left = 65536;
  int found = 0;
  for (size_t i = 0; i < count; ++i) {
    if (words[i].length == 0) continue;
    ++found;
    check(words[i].length <= 16 && words[i].bits >> words[i].length == 0, name + ": a value longer than its codeword");
    left -= 65536 >> words[i].length;
    for (size_t k = 0; k < count; ++k) {
      if (k == i || words[k].length < words[i].length) continue;
      const int beginning = words[k].bits >> (words[k].length - words[i].length);
      check(beginning != words[i].bits, name + ": one codeword begins another");
    }
  }
  check(found == codewords, name + ": " + std::to_string(found) + " codewords");
  check(left == free, name + ": " + std::to_string(left) + " of 65536 left free");
}

// The encoder below writes with the tables that the parser reads with, so codewords of one length that changed places
// would pass. FNV-1a of the tables as they were when each number had been compared with the reference software's.
uint32_t fingerprint(const CodeWord* words, size_t count) {
  uint32_t hash = 2166136261;
  for (size_t i = 0; i < count; ++i)
    for (const int byte : {words[i].bits & 255, words[i].bits >> 8, int(words[i].length)})
      hash = (hash ^ uint32_t(byte)) * 16777619;
  return hash;
}

void fingerprints() {
  check(fingerprint(kCoeffToken[0][0], 6 * 17 * 4) == 0x32bedaa8, "fingerprint of coeff_token");
  check(fingerprint(kTotalZeros[0], 15 * 16) == 0x1ea2f6dd, "fingerprint of total_zeros");
  check(fingerprint(kTotalZeros420Dc[0], 3 * 4) == 0xf50e5b47, "fingerprint of total_zeros 4:2:0");
  check(fingerprint(kTotalZeros422Dc[0], 7 * 8) == 0x84f9794a, "fingerprint of total_zeros 4:2:2");
  check(fingerprint(kRunBefore[0], 6 * 7) == 0x19d31b05, "fingerprint of run_before");
  uint32_t hash = 2166136261;
  for (const auto& chroma : kCodedBlockPattern)
    for (const auto& row : chroma)
      for (const uint8_t pattern : row) hash = (hash ^ pattern) * 16777619;
  check(hash == 0x25af91ef, "fingerprint of coded_block_pattern");
}

void prefix_codes() {
  constexpr int kTokens[6] = {62, 62, 62, 62, 14, 30};
  constexpr long kTokensFree[6] = {2, 8, 64, 2048, 0, 56};
  for (size_t i = 0; i < 6; ++i)
    prefix_code("coeff_token " + std::to_string(i), kCoeffToken[i][0], 17 * 4, kTokens[i], kTokensFree[i]);
  // tzVlcIndex 1 and no other leaves a codeword free, nine zeros.
  const auto each = [](const std::string& name, const auto& tables, int most, long free) {
    int n = 0;
    for (const auto& table : tables) {
      prefix_code(name + std::to_string(n + 1), table, std::size(table), most - n, n == 0 ? free : 0);
      ++n;
    }
  };
  each("total_zeros ", kTotalZeros, 16, 128);
  each("total_zeros 4:2:0 ", kTotalZeros420Dc, 4, 0);
  each("total_zeros 4:2:2 ", kTotalZeros422Dc, 8, 0);
  for (int i = 0; i < 6; ++i) prefix_code("run_before " + std::to_string(i + 1), kRunBefore[i], 7, i + 2, 0);
}

// Table 9-4 gives each pattern one codeNum.
void patterns() {
  for (int chroma = 0; chroma < 2; ++chroma)
    for (int inter = 0; inter < 2; ++inter) {
      const uint8_t* row = kCodedBlockPattern[chroma][inter];
      std::vector<uint8_t> sorted(row, row + (chroma ? 48 : 16));
      std::sort(sorted.begin(), sorted.end());
      for (size_t i = 0; i < sorted.size(); ++i) check(sorted[i] == i, "coded_block_pattern " + std::to_string(i));
    }
  check(kCodedBlockPattern[1][0][0] == 47 && kCodedBlockPattern[1][1][0] == 0, "coded_block_pattern of codeNum 0");
}

std::string write(const CodeWord& word) { return binary(word.bits, word.length); }

// levelCode of one level (9.2.2.1 read backwards).
std::string write_level(int64_t code, int suffix_length) {
  if (suffix_length == 0 && code < 14) return std::string(size_t(code), '0') + "1";
  if (suffix_length == 0 && code < 30) return binary(1, 15) + binary(uint32_t(code - 14), 4);
  if (suffix_length > 0 && code < 15 << suffix_length)
    return binary(1, int(code >> suffix_length) + 1) + binary(uint32_t(code), suffix_length);
  const int64_t rest = code - (suffix_length == 0 ? 30 : 15 << suffix_length);
  int prefix = 15;
  while (rest + 4096 >= int64_t(2) << (prefix - 3)) ++prefix;
  return binary(1, prefix + 1) + binary(uint32_t(rest + 4096 - (int64_t(1) << (prefix - 3))), prefix - 3);
}

// residual_block_cavlc() of coeffLevel.
std::string write_block(const Block& block, const Shape& shape) {
  std::vector<int> at;
  for (int i = shape.max - 1; i >= 0; --i)
    if (block[size_t(i)] != 0) at.push_back(i);
  const size_t total = at.size();
  size_t ones = 0;
  while (ones < total && ones < 3 && std::abs(block[size_t(at[ones])]) == 1) ++ones;
  std::string out = write(kCoeffToken[shape.column][total][ones]);
  if (total == 0) return out;

  int suffix_length = total > 10 && ones < 3 ? 1 : 0;
  for (size_t i = 0; i < total; ++i) {
    const int64_t level = block[size_t(at[i])];
    if (i < ones) {
      out += level < 0 ? '1' : '0';
      continue;
    }
    const int64_t code = 2 * std::abs(level) - (level > 0 ? 2 : 1) - (i == ones && ones < 3 ? 2 : 0);
    out += write_level(code, suffix_length);
    suffix_length = std::max(suffix_length, 1);
    if (suffix_length < 6 && std::abs(level) > 3 << (suffix_length - 1)) ++suffix_length;
  }

  int zeros = at[0] + 1 - int(total);
  if (int(total) < shape.max) {
    out += write(shape.max == 4   ? kTotalZeros420Dc[total - 1][zeros]
                 : shape.max == 8 ? kTotalZeros422Dc[total - 1][zeros]
                                  : kTotalZeros[total - 1][zeros]);
  }
  for (size_t i = 0; i + 1 < total && zeros > 0; ++i) {
    const int run = at[i] - at[i + 1] - 1;
    out += zeros <= 6 ? write(kRunBefore[zeros - 1][run])
           : run < 7  ? binary(uint32_t(7 - run), 3)
                      : binary(1, run - 3);
    zeros -= run;
  }
  return out;
}

// `text` gives `block` and ends where it ends, kept or not.
void read_back(const std::string& what, const std::string& text, const Block& block, const Shape& shape) {
  Buffer buffer(text + "1");
  Levels levels;
  const int total = read_cavlc_block(buffer.bits, shape.nC, shape.max, &levels);
  Block got(block.size());
  for (int i = 0; i < total; ++i) {
    const int position = levels.position[i];
    const bool inside = position >= 0 && position < shape.max && (i == 0 || position < levels.position[i - 1]);
    check(inside, what + ": positions");
    if (inside) got[size_t(position)] = levels.level[i];
  }
  check(total >= 0 && levels.count == total && got == block, what + ": levels of " + text);
  check(buffer.bits.position() == text.size(), what + ": end of " + text);
  buffer.bits.seek(0);
  check(read_cavlc_block(buffer.bits, shape.nC, shape.max, nullptr) == total, what + ": dropped levels");
  check(buffer.bits.position() == text.size(), what + ": end of dropped levels");
}

void round_trip(const Block& block, const Shape& shape) {
  read_back(std::string("nC ") + shape.name, write_block(block, shape), block, shape);
}

// Put together by hand from the tables of the standard, codeword by codeword, without this project's tables.
void worked_examples() {
  const auto block = [](std::initializer_list<int32_t> head, size_t size) {
    Block whole(head);
    whole.resize(size);
    return whole;
  };
  const auto example = [](const char* text, const Block& whole, int nC) {
    std::string bits;
    for (const char* c = text; *c; ++c)
      if (*c != ' ') bits += *c;
    read_back(text, bits, whole, {"", nC, 0, int(whole.size())});
  };
  // coeff_token, signs of trailing ones, levels, total_zeros, run_before.
  example("0000100 011 1 0010 111 10 1 1 01", block({0, 3, 0, 1, -1, -1, 0, 1}, 16), 0);
  example("0000000110 1 0001 0010 00010 111 0011 00", block({-2, 4, 3, -3, 0, 0, -1}, 16), 0);
  example("00011 100 011 100 10", block({0, 0, 0, 1, 0, 1, 0, 0, 0, -1}, 16), 0);
  example("001 00 000000 00000000001", block({1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}, 16), 0);
  example("000011", block({}, 15), 8);
  example("000111 1 000", block({0, 0, 0, 2}, 4), -1);
  example("01 0 00000", block({0, 0, 0, 0, 0, 0, 0, 1}, 8), -2);
  // The first level of each escape: level_prefix 14, 15 and 16 at suffixLength 0.
  example("000101 000000000000001 0000 1", block({9}, 16), 0);
  example("000101 0000000000000001 000000000000 1", block({17}, 16), 0);
  example("000101 00000000000000001 0000000000000 1", block({2065}, 16), 0);
}

// Every set of positions in every length of block, with levels that cover the sizes of 8 bit video.
void all_positions(Random& random) {
  for (const Shape& shape : {kShapes[0], kShapes[3], kShapes[8], kShapes[9]})
    for (uint32_t mask = 0; mask < 1u << shape.max; ++mask) {
      Block block(size_t(shape.max));
      for (size_t i = 0; i < block.size(); ++i) {
        if (mask >> i & 1) block[i] = random.level(random() % 5);
      }
      round_trip(block, shape);
    }
}

// Levels up to the longest level_prefix that is read, 25.
void random_blocks(Random& random) {
  constexpr int32_t kLargest = (1 << 22) - 2048;
  for (const Shape& shape : kShapes)
    for (int n = 0; n < 4000; ++n) {
      Block block(size_t(shape.max));
      const uint32_t density = random() % 9, size = random() % 23;
      for (int32_t& level : block) {
        if (random() % 8 >= density) continue;
        level = std::clamp(random.level(size), -kLargest, kLargest);
      }
      round_trip(block, shape);
    }
}

// What a block must hold however broken its bits are.
int read_anything(Buffer& buffer, const Shape& shape) {
  Levels levels;
  const int total = read_cavlc_block(buffer.bits, shape.nC, shape.max, &levels);
  check(total >= -1 && total <= shape.max, "TotalCoeff of broken syntax");
  for (int i = 0; i < total; ++i) {
    const int position = levels.position[i];
    check(position >= 0 && position < (i == 0 ? shape.max : levels.position[i - 1]), "positions of broken syntax");
  }
  check(buffer.bits.position() < 2000, "bits that one block takes");
  return total;
}

void broken() {
  const auto refused = [](const std::string& text, int nC, int max) {
    Buffer buffer(text + std::string(64, '1'));
    check(read_anything(buffer, {"", nC, 0, max}) == -1, "refusal of " + text);
  };
  refused("000101" + std::string(26, '0'), 0, 16);  // level_prefix 26
  refused(
      "010"
      "000000000",
      0, 16);  // no total_zeros
  refused(
      "010"
      "000000001",
      0, 15);  // 15 zeros besides one of 15 coefficients
  refused(
      "00100"
      "0011"
      "00000000001",
      0, 16);  // a run of 14 of 7 zeros
  refused(
      "111100"
      "000",
      8, 15);  // 16 of 15 coefficients

  // Every beginning of 16 bits that is no codeword of Table 9-5 is refused, every other one is read.
  for (const Shape& shape : kShapes)
    for (uint32_t head = 0; head < 65536; ++head) {
      int total = -1, length = 0;
      for (int n = 0; n <= 16; ++n)
        for (const CodeWord& word : kCoeffToken[shape.column][n]) {
          if (word.length == 0 || head >> (16 - word.length) != word.bits) continue;
          total = n;
          length = word.length;
        }
      Buffer buffer(binary(head, 16), 0xFF);
      const int got = read_anything(buffer, shape);
      if (total <= 0) {
        check(got == total, std::string("coeff_token, nC ") + shape.name + ", " + binary(head, 16));
        check(buffer.bits.position() == size_t(length), "length of coeff_token");
      } else {
        check(got == -1 || got == total, "TotalCoeff of " + binary(head, 16));
        check(buffer.bits.position() >= size_t(length), "bits of coeff_token");
      }
    }
}

// A block that was cut never ends inside the buffer as if it were whole.
void cut(Random& random) {
  for (const Shape& shape : kShapes)
    for (int n = 0; n < 200; ++n) {
      Block block(size_t(shape.max));
      for (int32_t& level : block) level = random() & 1 ? int32_t(random() % 300) - 150 : 0;
      const std::string text = write_block(block, shape);
      for (size_t bytes = 0; 8 * bytes < text.size(); ++bytes) {
        Buffer buffer(text.substr(0, 8 * bytes), uint8_t(random()));
        check(read_anything(buffer, shape) == -1 || buffer.bits.overrun(), "a block that was cut");
      }
    }
}

void noise(Random& random) {
  for (const Shape& shape : kShapes)
    for (int n = 0; n < 10000; ++n) {
      Buffer buffer(std::string(8 * (random() % 40), '0'), uint8_t(random()));
      const uint32_t density = random() % 4;  // mostly zeros reach the long codewords
      for (size_t i = 0; i + kPadding < buffer.bytes.size(); ++i) {
        if (random() % 4 >= density) buffer.bytes[i] = uint8_t(random());
      }
      while (!buffer.bits.overrun() && read_anything(buffer, shape) >= 0 && buffer.bits.position() < 1000) {}
    }
}

}  // namespace

int main() {
  Random random;
  fingerprints();
  prefix_codes();
  patterns();
  worked_examples();
  all_positions(random);
  random_blocks(random);
  broken();
  cut(random);
  noise(random);
  if (failures > 0) std::printf("%d failed\n", failures);
  return failures > 0;
}
