#include "h264/macroblock_steps.hpp"

#include <algorithm>
#include <cstring>

#include "h264/direct.hpp"
#include "h264/neighbours.hpp"
#include "h264/vectors.hpp"

namespace himmel::h264 {

bool start_macroblock(SliceState& s) {
  if (s.y >= s.height) return false;
  s.cur = &s.frame.mbs[size_t(s.mb)];
  s.ctx = &s.scratch.contexts[size_t(s.mb)];
  // A macroblock belongs to one slice: a second one for it comes from a damaged header.
  if (s.cur->slice != kNoSlice && s.cur->slice != s.index) return false;
  *s.cur = Macroblock{};
  s.cur->slice = s.index;
  s.cur->qp = int8_t(s.qp);
  // Until it has been parsed as a whole: wherever parsing stops, no half-made macroblock is left.
  s.cur->flags = kMbDamaged;
  if (s.field || s.field_picture) {
    s.cur->flags |= kMbField;
    if (s.field_picture ? s.header->structure == kBottom : s.y & 1) s.cur->flags |= kMbBottom;
  }
  std::memset(s.ctx, 0, sizeof *s.ctx);
  find_neighbours(s);
  return true;
}

void skip_macroblock(SliceState& s) {
  s.cur->flags |= kMbSkip;
  if (s.is_b) {
    s.cur->flags |= kMbDirect;
    predict_direct(s);
  } else {
    predict_skip(s);
  }
  s.last_qp_delta = 0;
}

bool parse_pcm(SliceState& s) {
  const int depth_luma = s.sps->bit_depth_luma, depth_chroma = s.sps->bit_depth_chroma;
  const int chroma = s.planes == 3 ? 512 : 2 * 64 * s.chroma_rows / 2;
  const size_t bits = size_t(256 * depth_luma + chroma * depth_chroma);
  // After terminate() the engine is seven bits ahead of where the encoder flushed (9.3.1.2, 9.3.4.5).
  const size_t from = s.pps->cabac ? s.cabac.position() - 7 : s.bits.position();
  const size_t to = ((from + 7) & ~size_t(7)) + bits;
  if (to > s.bits.size_bits()) return false;
  if (s.pps->cabac)
    s.cabac.start(s.bits.data(), s.bits.size_bits() / 8, (to + 7) / 8);
  else
    s.bits.seek(to);
  s.cur->flags |= kMbPcm;
  s.cur->cbp = 0x2F;
  std::memset(s.ctx->counts, s.pps->cabac ? 1 : 16, sizeof s.ctx->counts);
  s.ctx->dc_coded = 7;
  s.last_qp_delta = 0;
  // QP'Y of I_PCM is 0 (7.4.5); QPY,PRED stays that of the macroblock before.
  s.cur->qp = int8_t(-6 * (depth_luma - 8));
  return true;
}

void finish_macroblock(SliceState& s, size_t bits) {
  s.cur->bits = uint16_t(std::min<size_t>(bits, 0xFFFF));
  s.cur->flags &= uint16_t(~kMbDamaged);
}

void advance(SliceState& s) {
  if (s.mbaff && !(s.y & 1)) {
    ++s.y;
    s.mb += s.frame.width_mbs;
    return;
  }
  ++s.x;
  if (s.mbaff) {
    --s.y;
    s.mb -= s.frame.width_mbs;
  }
  ++s.mb;
  if (s.x < s.frame.width_mbs) return;
  s.x = 0;
  s.y += s.mbaff ? 2 : 1;
  s.mb = s.y * s.stride + (s.header->structure == kBottom ? s.frame.width_mbs : 0);
}

bool infer_field(const SliceState& s) {
  const int w = s.frame.width_mbs;
  if (s.x > 0 && available(s, s.mb - 1)) return s.frame.mbs[size_t(s.mb - 1)].has(kMbField);
  if (s.y > 1 && available(s, s.mb - 2 * w)) return s.frame.mbs[size_t(s.mb - 2 * w)].has(kMbField);
  return false;
}

}  // namespace himmel::h264
