// Beginning a picture: complementary fields, picture order count (8.2.1) and gaps in frame_num (8.2.5.2).
#include "h264/references.hpp"

#include <algorithm>
#include <utility>

namespace himmel::h264 {

namespace {

// Counts stay within 32 bits in a conforming stream (8.2.1); in others they wrap.
int32_t wrapped(int64_t value) { return int32_t(uint32_t(uint64_t(value))); }

}  // namespace

int32_t ReferenceBuffer::Frame::pic_order_cnt() const {
  if (decoded == kTop) return poc[0];
  if (decoded == kBottom) return poc[1];
  return std::min(poc[0], poc[1]);
}

ReferenceBuffer::Started ReferenceBuffer::begin(const SliceHeader& first, int64_t number, double position,
                                                std::shared_ptr<Picture> payload) {
  const Sps& sps = *first.sps;
  const bool second = completes_frame(first);
  if (!second) {
    current_ = -1;
    release_unused(current_);
  }

  capacity_ = std::clamp<int>(sps.max_num_ref_frames, 1, kMaxReferences);
  max_frame_num_ = uint32_t(1) << sps.log2_max_frame_num;
  coded_.structure = first.structure;
  coded_.reference = first.nal.ref_idc != 0;
  coded_.idr = first.idr;
  coded_.long_term_reference = first.long_term_reference;
  coded_.adaptive_marking = first.adaptive_marking;
  coded_.second_field = second;
  coded_.frame_num = first.frame_num;
  coded_.operations.assign(first.operations.begin(), first.operations.end());

  if (!begun_ && !first.idr) {
    prev_frame_num_ = first.frame_num;
    prev_frame_num_offset_ = 0;
    prev_poc_msb_ = 0;
    prev_poc_lsb_ = first.poc_lsb;
  }

  // Inferred frames count as previous pictures for types 1 and 2 (8.2.1.2, 8.2.1.3). For type 0 they have no count,
  // but the places of lost pictures are guessed from the current one.
  Started started;
  int32_t poc[2] = {0, 0};
  if (sps.poc_type == 0) picture_order(first, poc);
  if (!second && !first.idr) started.gap = fill_gap(first, poc);
  if (sps.poc_type != 0) picture_order(first, poc);
  begun_ = true;

  if (!second) {
    current_ = free_slot();
    Frame fresh;
    fresh.held = true;
    fresh.idr = first.idr;
    fresh.reference = coded_.reference;
    fresh.frame_num = first.frame_num;
    fresh.serial = next_serial_++;
    fresh.number = number;
    fresh.position = position;
    fresh.payload = std::move(payload);
    frames_[current_] = std::move(fresh);
  }
  Frame& frame = frames_[current_];
  if (first.structure & kTop) frame.poc[0] = poc[0];
  if (first.structure & kBottom) frame.poc[1] = poc[1];
  coded_.poc = first.structure == kFrame ? std::min(poc[0], poc[1]) : poc[first.structure == kBottom];
  in_picture_ = true;

  started.frame = frame.serial;
  started.second_field = second;
  std::copy_n(frame.poc, 2, started.poc_field);
  started.poc = coded_.poc;
  return started;
}

// Complementary reference and non-reference field pairs (clause 3). Beyond the standard, a non-reference field joins a
// reference field of the same frame_num, and an IDR field an IDR field of the other parity: some encoders write such
// frames, and nothing else is likely to be meant.
bool ReferenceBuffer::completes_frame(const SliceHeader& first) const {
  if (current_ < 0 || in_picture_ || first.structure == kFrame) return false;
  const Frame& frame = frames_[current_];
  const bool reference = first.nal.ref_idc != 0;
  if (frame.decoded != (kFrame ^ first.structure) || frame.frame_num != first.frame_num) return false;
  if (reference && !frame.reference) return false;
  if (first.idr && !frame.idr) return false;
  return !(reference && first.adaptive_marking &&
           std::any_of(first.operations.begin(), first.operations.end(), [](const auto& o) { return o.op == 5; }));
}

uint32_t ReferenceBuffer::frame_num_offset(uint32_t frame_num) const {
  return prev_frame_num_offset_ + (prev_frame_num_ > frame_num ? max_frame_num_ : 0);
}

// 8.2.1.2: expectedPicOrderCnt; 8.2.1.3: tempPicOrderCnt.
int32_t ReferenceBuffer::order_of_frame_num(const Sps& sps, uint32_t frame_num, bool reference, bool idr,
                                            uint32_t offset) const {
  uint32_t count = offset + frame_num;
  if (sps.poc_type == 2) return idr ? 0 : wrapped(2 * int64_t(count) - !reference);

  const size_t cycle = sps.offset_for_ref_frame.size();  // num_ref_frames_in_pic_order_cnt_cycle
  if (cycle == 0) count = 0;
  if (!reference && count > 0) --count;  // absFrameNum
  uint64_t expected = 0;
  if (count > 0) {
    uint64_t in_cycle = 0, per_cycle = 0;
    for (size_t i = 0; i < cycle; ++i) {
      per_cycle += uint64_t(int64_t(sps.offset_for_ref_frame[i]));
      if (i == (count - 1) % cycle) in_cycle = per_cycle;
    }
    expected = (count - 1) / cycle * per_cycle + in_cycle;
  }
  if (!reference) expected += uint64_t(int64_t(sps.offset_for_non_ref_pic));
  return wrapped(int64_t(expected));
}

// 8.2.1: TopFieldOrderCnt and BottomFieldOrderCnt of the current picture; a field uses its own only.
void ReferenceBuffer::picture_order(const SliceHeader& first, int32_t poc[2]) {
  const Sps& sps = *first.sps;
  if (sps.poc_type == 0) {
    const int64_t prev_msb = first.idr ? 0 : prev_poc_msb_, prev_lsb = first.idr ? 0 : prev_poc_lsb_;
    const int64_t max_lsb = int64_t(1) << sps.log2_max_poc_lsb, lsb = first.poc_lsb;
    int64_t msb = prev_msb;
    if (lsb < prev_lsb && prev_lsb - lsb >= max_lsb / 2) msb += max_lsb;
    if (lsb > prev_lsb && lsb - prev_lsb > max_lsb / 2) msb -= max_lsb;
    coded_.poc_msb = wrapped(msb);
    coded_.poc_lsb = int32_t(lsb);
    poc[0] = wrapped(msb + lsb);
    poc[1] = wrapped(msb + lsb + (first.structure == kFrame ? first.delta_poc_bottom : 0));
    return;
  }
  coded_.frame_num_offset = first.idr ? 0 : frame_num_offset(first.frame_num);
  const int64_t expected =
      order_of_frame_num(sps, first.frame_num, coded_.reference, first.idr, coded_.frame_num_offset);
  if (sps.poc_type == 2) {
    poc[0] = poc[1] = wrapped(expected);
    return;
  }
  poc[0] = wrapped(expected + first.delta_poc[0]);
  poc[1] = wrapped(expected + first.delta_poc[0] + sps.offset_for_top_to_bottom_field +
                   (first.structure == kFrame ? first.delta_poc[1] : 0));
}

// 8.2.5.2. Where gaps are not allowed, frames were lost; they are inferred all the same, so that what they pushed out
// of the buffer is gone and indices of lists stay in step. Where reading begins at a picture that is not IDR, all that
// it may refer to counts as inferred. True if pictures were lost.
bool ReferenceBuffer::fill_gap(const SliceHeader& first, const int32_t poc[2]) {
  const Sps& sps = *first.sps;
  const uint32_t frame_num = first.frame_num, mask = max_frame_num_ - 1;
  const uint32_t gap = begun_ ? (frame_num - prev_ref_frame_num_ - 1) & mask : mask;
  if (begun_ && (gap == 0 || frame_num == (prev_ref_frame_num_ & mask))) return false;

  const bool lost = begun_ && !sps.gaps_in_frame_num_allowed;
  const int64_t current = first.structure == kFrame ? std::min(poc[0], poc[1]) : poc[first.structure == kBottom];
  // Frames that would slide out again at once need no inferring.
  const uint32_t inferred = std::min(gap, uint32_t(capacity_));
  for (uint32_t left = inferred; left > 0; --left) {
    const uint32_t inferred_num = (frame_num - left) & mask;
    if (!begun_) {
      infer_frame(inferred_num, Order::kEarlier, 0);
    } else if (sps.poc_type != 0) {
      prev_frame_num_offset_ = frame_num_offset(inferred_num);
      prev_frame_num_ = inferred_num;
      infer_frame(inferred_num, Order::kKnown,
                  order_of_frame_num(sps, inferred_num, true, false, prev_frame_num_offset_));
    } else if (lost) {
      infer_frame(inferred_num, Order::kKnown,
                  guess_order(first.is_b(), current, int64_t(gap - left) + 1, int64_t(gap) + 1));
    } else {
      infer_frame(inferred_num, Order::kNone, 0);
    }
  }
  prev_ref_frame_num_ = (frame_num - 1) & mask;
  return lost;
}

// A place in output order for a lost reference picture, number `step` of `steps` - 1. Before a P picture, between the
// previous reference and that picture. Before a B picture, which is coded after what it is predicted from: between
// that and the next picture held, or as far behind it as the last one is before it.
int32_t ReferenceBuffer::guess_order(bool is_b, int64_t current, int64_t step, int64_t steps) const {
  if (!is_b) {
    const int64_t last = prev_poc_msb_ + prev_poc_lsb_;
    return wrapped(last + (current - last) * step / steps);
  }
  int64_t later = INT64_MAX, earlier = INT64_MIN;
  for (const Frame& frame : frames_) {
    if (!frame.held || frame.missing || !(frame.short_term | frame.long_term)) continue;
    const int64_t poc = frame.pic_order_cnt();
    if (poc > current) later = std::min(later, poc);
    if (poc < current) earlier = std::max(earlier, poc);
  }
  if (later != INT64_MAX) return wrapped(current + (later - current) * step / steps);
  return wrapped(current + (earlier != INT64_MIN ? current - earlier : 1) * step);
}

void ReferenceBuffer::infer_frame(uint32_t frame_num, Order order, int32_t poc) {
  if (references() >= capacity_ && !slide_window(frame_num, -1)) return;  // full of long-term frames
  release_unused(-1);
  Frame frame;
  frame.held = frame.missing = frame.reference = true;
  frame.order = order;
  frame.decoded = frame.short_term = kFrame;
  frame.frame_num = frame_num;
  frame.poc[0] = frame.poc[1] = poc;
  frame.serial = next_missing_serial_--;
  frames_[free_slot()] = std::move(frame);
}

std::shared_ptr<Picture> ReferenceBuffer::payload(int32_t frame) const {
  for (const Frame& held : frames_) {
    if (held.held && held.serial == frame) return held.payload;
  }
  return nullptr;
}

void ReferenceBuffer::reset() {
  frames_.fill(Frame{});
  current_ = -1;
  in_picture_ = begun_ = false;
}

}  // namespace himmel::h264
