// A picture of a stream of any codec: its bytes, and what has been parsed of it. Parsing waits until someone
// asks.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "common/residual_blocks.hpp"

namespace himmel {

enum class Detail : uint8_t { None, Vectors, Residual, FineResidual };

struct CodedPicture {
  CodedPicture() = default;
  virtual ~CodedPicture() = default;
  CodedPicture(const CodedPicture&) = delete;
  CodedPicture& operator=(const CodedPicture&) = delete;

  // Known from headers; nothing changes any more once the stream has handed the picture out.
  int64_t number = 0;
  int64_t serial = 0;  // order of decoding
  double position = 0;
  bool reference = false, gap = false, broken_header = false;
  bool has_bytes = true;       // false: only its headers were kept
  std::vector<uint8_t> bytes;  // NAL units of the slices, with emulation prevention
  int64_t bits = 0;            // of these NAL units, whether they were kept or not

  // Guarded by `mutex` until `detail` says that they are there; constant afterwards, but for a change to more detail.
  std::mutex mutex;
  std::atomic<Detail> detail = Detail::None;
  ResidualBlocks residual;
  int damaged = 0;        // macroblocks that were not read
  int broken_slices = 0;  // slices whose data break off, or don't end where the syntax does
  float quantiser = 0;    // mean over the macroblocks that were read; NaN if none was

  // Append the pictures, decoded before this one, whose motion is needed to parse it. Called with `mutex` locked.
  virtual void add_needed(std::vector<std::shared_ptr<CodedPicture>>& pictures) const = 0;
  // Parse; what is needed has been parsed. Called with `mutex` locked; parse() sets `detail` afterwards.
  virtual void parse_alone(Detail wanted) = 0;
};

// Parse a picture, after the pictures that it needs. Thread-safe: several threads may ask for the same pictures.
void parse(const std::shared_ptr<CodedPicture>& picture, Detail detail);

}  // namespace himmel
