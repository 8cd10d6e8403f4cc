#include "h264/slice_decoder.hpp"

#include "h264/syntax_cabac.hpp"
#include "h264/syntax_cavlc.hpp"

namespace himmel::h264 {

bool decode_slice(SliceState& s, const Slice& slice, uint16_t index, const Colocated& colocated, const int32_t poc[2],
                  int32_t frame_poc, const uint8_t* rbsp, size_t bytes) {
  s.slice = &slice;
  s.header = &slice.header;
  s.sps = s.header->sps.get();
  s.pps = s.header->pps.get();
  s.colocated = colocated;
  s.index = index;
  s.poc[0] = poc[0], s.poc[1] = poc[1], s.frame_poc = frame_poc;
  s.lists = s.frame.lists;
  s.mbaff = s.header->mbaff;
  s.field_picture = s.header->structure != kFrame;
  s.is_b = s.header->is_b();
  s.is_intra = s.header->is_intra();
  s.direct8 = s.sps->direct_8x8_inference;
  const int format = s.sps->chroma_array_type();
  s.planes = format == 3 ? 3 : 1;
  s.chroma_rows = format == 1 ? 2 : format == 2 ? 4 : 0;
  s.height = s.frame.height_mbs >> s.field_picture;
  s.stride = s.frame.width_mbs << s.field_picture;
  s.bits = BitReader(rbsp, bytes);
  s.qp = s.header->qp;
  s.last_qp_delta = 0;
  s.field = false;
  s.broken = false;
  const uint64_t first = uint64_t(s.header->first_mb) << s.mbaff;
  if (first >= uint64_t(s.frame.width_mbs) * uint64_t(s.height)) return false;
  if (s.mbaff) {
    s.x = int(first / 2) % s.frame.width_mbs;
    s.y = 2 * (int(first / 2) / s.frame.width_mbs);
  } else {
    s.x = int(first) % s.frame.width_mbs;
    s.y = int(first) / s.frame.width_mbs;
  }
  s.mb = s.y * s.stride + s.x + (s.header->structure == kBottom ? s.frame.width_mbs : 0);
  return s.pps->cabac ? run_cabac(s) : run_cavlc(s);
}

}  // namespace himmel::h264
