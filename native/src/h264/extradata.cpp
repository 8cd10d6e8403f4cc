#include "h264/extradata.hpp"

namespace himmel::h264 {

Extradata parse_extradata(const uint8_t* data, size_t size) {
  Extradata result;
  if (is_byte_stream(data, size)) {
    bool damaged = false;  // sets that are missing may come in the stream
    result.units = split_units(data, size, 0, damaged);
    return result;
  }
  // configurationVersion, three bytes of profile and level, lengthSizeMinusOne in two bits.
  if (size < 6 || data[0] != 1) throw StreamError("the extradata are neither an avcC record nor a byte stream");
  result.length_size = (data[4] & 3) + 1;
  if (result.length_size == 3) throw StreamError("lengthSizeMinusOne 2 of the avcC record is reserved");
  size_t at = 5;
  // Sequence parameter sets (their count in five bits), then picture parameter sets; what follows, for High profiles,
  // repeats the former's fields and carries sets of auxiliary pictures.
  for (const int mask : {31, 255}) {
    if (at >= size) return result;
    for (int count = data[at++] & mask; count > 0; --count) {
      if (size - at < 2) return result;
      const size_t length = big_endian(data + at, 2);
      at += 2;
      if (length > size - at) return result;
      if (length > 0) result.units.push_back({data + at, length});
      at += length;
    }
  }
  return result;
}

}  // namespace himmel::h264
