// A stream of packets -> pictures: parameter sets, headers and references are followed; slice data waits until it is
// asked for.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "h264/picture.hpp"
#include "h264/references.hpp"

namespace himmel::h264 {

class Stream {
 public:
  // Parameter sets as containers store them: an avcC record, Annex B, or nothing, which means that they come in the
  // stream, in Annex B. They and the length of NAL units' lengths are in force from the next packet on; sets of other
  // numbers stay. A stream begins with nothing. Throws StreamError (and nothing changes), Unsupported.
  void set_extradata(const uint8_t* extradata, size_t size);

  // Walk one packet's headers. Returns the frames that are now complete: usually the packet's own; a field without its
  // other half is held back until that, another picture, or flush() comes. `keep` false: nobody will ask for this
  // picture, so that only pictures that others may refer to keep their bytes. Throws Unsupported; damage is marked,
  // not thrown.
  std::vector<std::shared_ptr<Picture>> push(const uint8_t* data, size_t size, int64_t number, double position,
                                             bool keep);
  std::vector<std::shared_ptr<Picture>> flush();

  // Reading goes on elsewhere: references are forgotten, parameter sets stay.
  void reset();

 private:
  void take_unit(const uint8_t* unit, size_t size);
  void take_slice(const uint8_t* unit, size_t size);
  void begin_picture(const SliceHeader& header);
  void end_picture();
  bool fits(const SliceHeader& header) const;

  int length_size_ = 0;  // of NAL units' lengths; 0: start codes
  std::array<std::shared_ptr<const Sps>, 32> sps_;
  std::array<std::shared_ptr<const Pps>, 256> pps_;
  ReferenceBuffer references_;
  std::shared_ptr<Picture> current_;  // the frame of the coded picture that is being read
  std::shared_ptr<Picture> waiting_;  // a first field
  SliceHeader previous_;
  bool in_picture_ = false, second_field_ = false;
  std::vector<std::shared_ptr<Picture>> done_;
  std::vector<uint8_t> scratch_;
  int64_t number_ = 0, serial_ = 0;
  double position_ = 0;
  bool keep_ = true;
};

}  // namespace himmel::h264
