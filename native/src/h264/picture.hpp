// One frame (or complementary field pair) of a stream: its slices as bytes, and what parsing makes of them.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "common/grid.hpp"
#include "common/picture.hpp"
#include "h264/motion.hpp"

namespace himmel::h264 {

struct Picture;

// Where the co-located macroblocks of a slice are: first a picture that may have to be parsed, then its motion alone,
// so that pictures don't hold on to each other in a chain.
struct Source {
  bool self = false;  // a second field looks at the first one
  std::shared_ptr<Picture> picture;
  std::shared_ptr<const FrameMotion> motion;
  std::shared_ptr<const std::vector<Slice>> slices;
};

struct Picture : CodedPicture {
  // Known from headers; nothing changes any more once Stream has handed the picture out.
  int32_t poc = 0, poc_field[2] = {0, 0};
  bool field_picture = false, mbaff = false, idr = false;
  SliceType kind = SliceType::I;  // B if any slice is, else P if any is
  std::shared_ptr<const Sps> sps;
  std::shared_ptr<std::vector<Slice>> slices = std::make_shared<std::vector<Slice>>();
  std::vector<Source> colocated;  // of each slice: where its direct modes look

  std::shared_ptr<FrameMotion> motion;  // guarded as in CodedPicture

  bool missing_references() const;
  SampleFormat sample_format() const;

  void add_needed(std::vector<std::shared_ptr<CodedPicture>>& pictures) const override;
  void parse_alone(Detail wanted) override;
};

// The exact spatial residual of inter macroblocks (parses again).
ResidualPlanes spatial_residual(const std::shared_ptr<Picture>& picture);

}  // namespace himmel::h264
