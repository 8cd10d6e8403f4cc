// Decoded reference picture marking (8.2.5).
#include <algorithm>

#include "h264/references.hpp"

namespace himmel::h264 {

// There always is one: at most kMaxReferences frames are references, and one more is current.
int ReferenceBuffer::free_slot() const {
  const auto free = std::find_if(frames_.begin(), frames_.end() - 1, [](const Frame& f) { return !f.held; });
  return int(free - frames_.begin());
}

// Frames with any field marked as used for reference.
int ReferenceBuffer::references() const {
  return int(std::count_if(frames_.begin(), frames_.end(),
                           [](const Frame& f) { return f.held && (f.short_term | f.long_term); }));
}

// 8.2.5.3: the short-term frame, field pair or field with the smallest FrameNumWrap is no reference any more. False if
// there is none but `except`.
bool ReferenceBuffer::slide_window(uint32_t frame_num, int except) {
  int oldest = -1;
  for (int slot = 0; slot < kFrames; ++slot) {
    if (slot == except || !frames_[slot].short_term) continue;
    if (oldest < 0 || frame_num_wrap(frames_[slot], frame_num) < frame_num_wrap(frames_[oldest], frame_num)) {
      oldest = slot;
    }
  }
  if (oldest < 0) return false;
  frames_[oldest].short_term = 0;
  return true;
}

// 8.2.5.4.3, 8.2.5.4.6: an index belongs to one frame; both its fields may have it.
void ReferenceBuffer::make_long_term(const Part& part, uint32_t long_term_frame_idx) {
  if (part.slot < 0 || long_term_frame_idx >= kMaxReferences) return;
  Frame& frame = frames_[part.slot];
  for (Frame& other : frames_) {
    if (&other != &frame && other.long_term_frame_idx == long_term_frame_idx) other.long_term = 0;
  }
  if (frame.long_term_frame_idx != long_term_frame_idx) frame.long_term = 0;
  frame.long_term_frame_idx = uint8_t(long_term_frame_idx);
  frame.long_term |= part.structure;
  frame.short_term &= uint8_t(~part.structure);
}

// 8.2.5.1, for IDR pictures.
void ReferenceBuffer::mark_idr() {
  for (int slot = 0; slot < kFrames; ++slot) {
    if (slot != current_) frames_[slot].short_term = frames_[slot].long_term = 0;
  }
  if (coded_.long_term_reference) make_long_term({int8_t(current_), coded_.structure}, 0);
}

void ReferenceBuffer::mark_sliding_window() {
  if (coded_.second_field && frames_[current_].short_term) return;
  int used = 0;  // numShortTerm + numLongTerm: a frame with a field of either kind counts twice
  for (const Frame& frame : frames_) used += (frame.short_term != 0) + (frame.long_term != 0);
  if (used >= capacity_) slide_window(coded_.frame_num, current_);
}

// 8.2.5.4. Operations that name nothing are ignored. True if operation 5 was among them.
bool ReferenceBuffer::mark_adaptive() {
  bool all_cleared = false;
  for (const MemoryOperation& operation : coded_.operations) {
    const int64_t pic_num = int64_t(curr_pic_num()) - (int64_t(operation.difference_of_pic_nums_minus1) + 1);
    switch (operation.op) {
      case 1:
        if (const Part part = find_short_term(pic_num); part.slot >= 0) {
          frames_[part.slot].short_term &= uint8_t(~part.structure);
        }
        break;
      case 2:
        if (const Part part = find_long_term(operation.long_term_pic_num); part.slot >= 0) {
          frames_[part.slot].long_term &= uint8_t(~part.structure);
        }
        break;
      case 3: make_long_term(find_short_term(pic_num), operation.long_term_frame_idx); break;
      case 4:
        for (Frame& frame : frames_) {
          if (frame.long_term_frame_idx >= operation.max_long_term_frame_idx_plus1) frame.long_term = 0;
        }
        break;
      case 5:
        for (Frame& frame : frames_) frame.short_term = frame.long_term = 0;
        all_cleared = true;
        break;
      case 6: make_long_term({int8_t(current_), coded_.structure}, operation.long_term_frame_idx); break;
      default: break;
    }
  }
  return all_cleared;
}

// After operation 5 the picture counts as one with frame_num 0 and, in order, as the first (7.4.3, 8.2.1).
void ReferenceBuffer::clear_operation_5() {
  Frame& frame = frames_[current_];
  frame.frame_num = coded_.frame_num = coded_.frame_num_offset = 0;
  for (int bottom = 0; bottom < 2; ++bottom) {
    if (coded_.structure & (1 << bottom)) {
      frame.poc[bottom] = int32_t(uint32_t(frame.poc[bottom]) - uint32_t(coded_.poc));
    }
  }
  coded_.poc_msb = 0;
  coded_.poc_lsb = coded_.structure == kBottom ? 0 : frame.poc[0];
}

// A broken stream may mark more frames than it said. The oldest short-term ones go first; against long-term ones,
// which were asked for by name, the current picture gives way.
void ReferenceBuffer::bound_references() {
  while (references() > capacity_) {
    if (slide_window(coded_.frame_num, current_)) continue;
    if (frames_[current_].short_term) {
      frames_[current_].short_term = 0;
      continue;
    }
    int lowest = -1;
    for (int slot = 0; slot < kFrames; ++slot) {
      if (slot == current_ || !frames_[slot].long_term) continue;
      if (lowest < 0 || frames_[slot].long_term_frame_idx < frames_[lowest].long_term_frame_idx) lowest = slot;
    }
    frames_[lowest].long_term = 0;
  }
}

void ReferenceBuffer::release_unused(int except) {
  for (int slot = 0; slot < kFrames; ++slot) {
    Frame& frame = frames_[slot];
    if (slot != except && frame.held && !(frame.short_term | frame.long_term)) frame = Frame{};
  }
}

void ReferenceBuffer::end() {
  if (!in_picture_) return;
  in_picture_ = false;
  Frame& frame = frames_[current_];
  frame.decoded |= coded_.structure;
  if (coded_.reference) {
    if (coded_.idr) {
      mark_idr();
    } else if (!coded_.adaptive_marking) {
      mark_sliding_window();
    } else if (mark_adaptive()) {
      clear_operation_5();
    }
    if (!(frame.long_term & coded_.structure)) frame.short_term |= coded_.structure;
    // A frame_num names one short-term frame; an older one of the same number is a leftover of lost pictures.
    for (Frame& other : frames_) {
      if (&other != &frame && other.short_term && other.frame_num == frame.frame_num) other.short_term = 0;
    }
    prev_ref_frame_num_ = coded_.frame_num;
    prev_poc_msb_ = coded_.poc_msb;
    prev_poc_lsb_ = coded_.poc_lsb;
  }
  prev_frame_num_ = coded_.frame_num;
  prev_frame_num_offset_ = coded_.frame_num_offset;
  bound_references();
  if (frame.decoded == kFrame) current_ = -1;
  release_unused(current_);
}

}  // namespace himmel::h264
