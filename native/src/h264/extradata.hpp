// What containers store beside the packets (ISO/IEC 14496-15, Annex B).
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "common/units.hpp"

namespace himmel::h264 {

// What containers store beside the packets: parameter sets, and in which format the packets are.
struct Extradata {
  int length_size = 0;      // as split_units() takes it
  std::vector<Unit> units;  // sequence and picture parameter sets, inside the caller's bytes
};

// An AVCDecoderConfigurationRecord (ISO/IEC 14496-15, 5.3.3.1) or Annex B. A record that ends early gives the sets up
// to there: they may come again in the stream. Throws StreamError if it is neither.
Extradata parse_extradata(const uint8_t* data, size_t size);

}  // namespace himmel::h264
