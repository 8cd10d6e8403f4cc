// From packets to NAL units and their RBSPs (7.3.1, Annex B, ISO/IEC 14496-15).
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "common/bit_reader.hpp"

namespace himmel {

// A NAL unit inside the caller's bytes, header byte included, start code or length left out. Never empty.
struct Unit {
  const uint8_t* data;
  size_t size;
};

// `length_size` 0: byte stream format (Annex B); 1, 2 or 4: each unit behind its length in so many bytes, as MP4
// stores them. `damaged` becomes true, and otherwise keeps its value, if bytes belong to no unit or a length goes past
// the packet; then what is left of the packet is the last unit, since its header may still be good.
std::vector<Unit> split_units(const uint8_t* data, size_t size, int length_size, bool& damaged);

// Whether this is a byte stream: zeros, two at least, and then 1.
bool is_byte_stream(const uint8_t* data, size_t size);

// An unsigned number of so many bytes, the highest first.
size_t big_endian(const uint8_t* data, int bytes);

// Copy a NAL unit, or the part of it that the caller passes, without emulation_prevention_three_bytes (7.3.1): at most
// `max_out` bytes. Returns how many; kPadding zeros follow them. `out` only ever grows, so that a buffer that is
// used again costs nothing.
size_t unescape(const uint8_t* nal, size_t size, size_t max_out, std::vector<uint8_t>& out);

}  // namespace himmel
