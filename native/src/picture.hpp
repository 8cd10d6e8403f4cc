// One frame (or complementary field pair) of a stream: its slices as bytes, and what parsing makes of them.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "motion.hpp"
#include "residual.hpp"

namespace himmel {

enum class Detail : uint8_t { None, Vectors, Residual, FineResidual };

struct Picture;

// Where the co-located macroblocks of a slice are: first a picture that may have to be parsed, then its motion alone, so that pictures
// don't hold on to each other in a chain.
struct Source {
  bool self = false;  // a second field looks at the first one
  std::shared_ptr<Picture> picture;
  std::shared_ptr<const FrameMotion> motion;
  std::shared_ptr<const std::vector<Slice>> slices;
};

struct Picture {
  // Known from headers; nothing changes any more once Stream has handed the picture out.
  int64_t number = 0;
  int64_t serial = 0;  // order of decoding
  double position = 0;
  int32_t poc = 0, poc_field[2] = {0, 0};
  bool field_picture = false, mbaff = false, reference = false, idr = false, gap = false;
  bool broken_header = false;
  bool has_bytes = true;  // false: only its headers were kept
  SliceType kind = SliceType::I;  // B if any slice is, else P if any is
  std::shared_ptr<const Sps> sps;
  std::shared_ptr<std::vector<Slice>> slices = std::make_shared<std::vector<Slice>>();
  std::vector<uint8_t> bytes;  // NAL units of the slices, with emulation prevention
  std::vector<Source> colocated;  // of each slice: where its direct modes look

  // Guarded by `mutex` until `detail` says that they are there; constant afterwards, but for a change to more detail.
  std::mutex mutex;
  std::atomic<Detail> detail = Detail::None;
  std::shared_ptr<FrameMotion> motion;
  ResidualBlocks residual;
  int damaged = 0;  // macroblocks

  bool missing_references() const;
  // Chroma subsampling: log2 of horizontal and vertical factors.
  int chroma_shift_x() const { return sps->chroma_format_idc == 1 || sps->chroma_format_idc == 2; }
  int chroma_shift_y() const { return sps->chroma_format_idc == 1; }
};

// Parse a picture, and before it whatever its direct modes need. Thread-safe: several threads may ask for the same pictures.
void parse(const std::shared_ptr<Picture>& picture, Detail detail);

// The exact spatial residual of inter macroblocks (parses again).
ResidualPlanes spatial_residual(const std::shared_ptr<Picture>& picture);

}  // namespace himmel
