#include "h264/slice_decoder.hpp"

#include <algorithm>
#include <cstring>

namespace himmel::h264 {

SliceDecoder::SliceDecoder(FrameMotion& frame, Scratch& scratch, ResidualSink* sink)
    : frame_(frame), scratch_(scratch), sink_(sink) {
  scratch_.contexts.resize(frame.size());
}

void SliceDecoder::decode(const Slice& slice, uint16_t index, const Colocated& colocated, const int32_t poc[2],
                          int32_t frame_poc, const uint8_t* rbsp, size_t bytes) {
  slice_ = &slice;
  header_ = &slice.header;
  sps_ = header_->sps.get();
  pps_ = header_->pps.get();
  colocated_ = colocated;
  index_ = index;
  poc_[0] = poc[0], poc_[1] = poc[1], frame_poc_ = frame_poc;
  lists_ = frame_.lists;
  mbaff_ = header_->mbaff;
  field_picture_ = header_->structure != kFrame;
  is_b_ = header_->is_b();
  is_intra_ = header_->is_intra();
  direct8_ = sps_->direct_8x8_inference;
  const int format = sps_->chroma_array_type();
  planes_ = format == 3 ? 3 : 1;
  chroma_rows_ = format == 1 ? 2 : format == 2 ? 4 : 0;
  height_ = frame_.height_mbs >> field_picture_;
  stride_ = frame_.width_mbs << field_picture_;
  bits_ = BitReader(rbsp, bytes);
  qp_ = header_->qp;
  last_qp_delta_ = 0;
  field_ = false;
  broken_ = false;
  const uint64_t first = uint64_t(header_->first_mb) << mbaff_;
  if (first >= uint64_t(frame_.width_mbs) * uint64_t(height_)) return;
  if (mbaff_) {
    x_ = int(first / 2) % frame_.width_mbs;
    y_ = 2 * (int(first / 2) / frame_.width_mbs);
  } else {
    x_ = int(first) % frame_.width_mbs;
    y_ = int(first) / frame_.width_mbs;
  }
  mb_ = y_ * stride_ + x_ + (header_->structure == kBottom ? frame_.width_mbs : 0);
  if (pps_->cabac)
    run_cabac();
  else
    run_cavlc();
}

// Called once the macroblock's place and, in MBAFF frames, its kind are known.
bool SliceDecoder::start_macroblock() {
  if (y_ >= height_) return false;
  cur_ = &frame_.mbs[size_t(mb_)];
  ctx_ = &scratch_.contexts[size_t(mb_)];
  // A macroblock belongs to one slice: a second one for it comes from a damaged header.
  if (cur_->slice != kNoSlice && cur_->slice != index_) return false;
  *cur_ = Macroblock{};
  cur_->slice = index_;
  cur_->qp = int8_t(qp_);
  // Until it has been parsed as a whole: wherever parsing stops, no half-made macroblock is left.
  cur_->flags = kMbDamaged;
  if (field_ || field_picture_) {
    cur_->flags |= kMbField;
    if (field_picture_ ? header_->structure == kBottom : y_ & 1) cur_->flags |= kMbBottom;
  }
  std::memset(ctx_, 0, sizeof *ctx_);
  find_neighbours();
  return true;
}

// P_Skip or B_Skip: everything is inferred (7.4.5).
void SliceDecoder::skip_macroblock() {
  cur_->flags |= kMbSkip;
  if (is_b_) {
    cur_->flags |= kMbDirect;
    predict_direct();
  } else {
    predict_skip();
  }
  last_qp_delta_ = 0;
}

void SliceDecoder::finish_macroblock(size_t bits) {
  cur_->bits = uint16_t(std::min<size_t>(bits, 0xFFFF));
  cur_->flags &= uint16_t(~kMbDamaged);
}

void SliceDecoder::advance() {
  if (mbaff_ && !(y_ & 1)) {
    ++y_;
    mb_ += frame_.width_mbs;
    return;
  }
  ++x_;
  if (mbaff_) {
    --y_;
    mb_ -= frame_.width_mbs;
  }
  ++mb_;
  if (x_ < frame_.width_mbs) return;
  x_ = 0;
  y_ += mbaff_ ? 2 : 1;
  mb_ = y_ * stride_ + (header_->structure == kBottom ? frame_.width_mbs : 0);
}

// 7.4.4: a pair without mb_field_decoding_flag is like the one left of it, else like the one above, else of frames.
bool SliceDecoder::infer_field() const {
  const int w = frame_.width_mbs;
  if (x_ > 0 && available(mb_ - 1)) return frame_.mbs[size_t(mb_ - 1)].has(kMbField);
  if (y_ > 1 && available(mb_ - 2 * w)) return frame_.mbs[size_t(mb_ - 2 * w)].has(kMbField);
  return false;
}

}  // namespace himmel::h264
