#include "common/units.hpp"

#include <algorithm>
#include <cstring>

namespace himmel {

namespace {

// The next byte of this value, which two zeros precede, in [from, end); else `end`. `start`: no byte before it counts.
// One byte in 256 of coded data stops memchr, which is vectorised everywhere.
const uint8_t* after_two_zeros(uint8_t value, const uint8_t* start, const uint8_t* from, const uint8_t* end) {
  if (end - start < 3) return end;
  const uint8_t* at = std::max(from, start + 2);
  while (at < end) {
    at = static_cast<const uint8_t*>(std::memchr(at, value, size_t(end - at)));
    if (at == nullptr) return end;
    if (at[-1] == 0 && at[-2] == 0) return at;
    ++at;
  }
  return end;
}

// B.1.1: a unit ends before the next start code; its own last byte is never zero (7.4.1), so zeros there are
// trailing_zero_8bits or the zero_byte of what follows.
std::vector<Unit> split_byte_stream(const uint8_t* data, size_t size, bool& damaged) {
  std::vector<Unit> units;
  const uint8_t* const end = data + size;
  const uint8_t* code = after_two_zeros(1, data, data, end);
  if (std::any_of(data, code == end ? end : code - 2, [](uint8_t byte) { return byte != 0; })) damaged = true;
  while (code != end) {
    const uint8_t* const begin = code + 1;
    code = after_two_zeros(1, begin, begin, end);
    const uint8_t* last = code == end ? end : code - 2;
    while (last > begin && last[-1] == 0) --last;
    if (last > begin) units.push_back({begin, size_t(last - begin)});
  }
  return units;
}

}  // namespace

size_t big_endian(const uint8_t* data, int bytes) {
  size_t value = 0;
  for (int i = 0; i < bytes; ++i) value = value << 8 | data[i];
  return value;
}

std::vector<Unit> split_units(const uint8_t* data, size_t size, int length_size, bool& damaged) {
  if (length_size == 0) return split_byte_stream(data, size, damaged);
  std::vector<Unit> units;
  const size_t prefix = size_t(length_size);
  size_t at = 0;
  while (size - at > prefix) {
    size_t length = big_endian(data + at, length_size);
    at += prefix;
    if (length > size - at) {
      damaged = true;
      length = size - at;
    }
    if (length > 0) units.push_back({data + at, length});
    at += length;
  }
  if (std::any_of(data + at, data + size, [](uint8_t byte) { return byte != 0; })) damaged = true;
  return units;
}

bool is_byte_stream(const uint8_t* data, size_t size) {
  const size_t zeros = size_t(std::find_if(data, data + size, [](uint8_t byte) { return byte != 0; }) - data);
  return zeros >= 2 && zeros < size && data[zeros] == 1;
}

size_t unescape(const uint8_t* nal, size_t size, size_t max_out, std::vector<uint8_t>& out) {
  const size_t most = std::min(size, max_out);
  if (out.size() < most + kPadding) out.resize(most + kPadding);
  // At most every third byte goes.
  const uint8_t* const end = nal + std::min(size, most + most / 2 + 2);
  size_t written = 0;
  for (const uint8_t* from = nal; from < end && written < most;) {
    const uint8_t* const escape = after_two_zeros(3, nal, from, end);
    const size_t run = std::min(size_t(escape - from), most - written);
    std::memcpy(out.data() + written, from, run);
    written += run;
    from = escape == end ? end : escape + 1;
  }
  std::memset(out.data() + written, 0, kPadding);
  return written;
}

}  // namespace himmel
