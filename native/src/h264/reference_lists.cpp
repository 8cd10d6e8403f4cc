// Reference picture lists (8.2.4).
#include <algorithm>
#include <utility>

#include "h264/references.hpp"

namespace himmel::h264 {

// Frames sorted by a key: refFrameList0ShortTerm and its kin.
struct ReferenceBuffer::FrameOrder {
  int count = 0;
  std::array<std::pair<int64_t, int8_t>, kFrames> frames;

  void add(int64_t key, int slot) {
    int at = count++;
    for (; at > 0 && frames[at - 1].first > key; --at) frames[at] = frames[at - 1];
    frames[at] = {key, int8_t(slot)};
  }
};

struct ReferenceBuffer::PartList {
  int count = 0;
  std::array<Part, 2 * kFrames> parts;

  void add(Part part) { parts[count++] = part; }
  bool operator==(const PartList& other) const {
    return count == other.count && std::equal(parts.begin(), parts.begin() + count, other.parts.begin());
  }
};

// 8.2.4.1
int32_t ReferenceBuffer::frame_num_wrap(const Frame& frame, uint32_t current) const {
  return int32_t(frame.frame_num) - (frame.frame_num > current ? int32_t(max_frame_num_) : 0);
}

int32_t ReferenceBuffer::curr_pic_num() const {
  return coded_.structure == kFrame ? int32_t(coded_.frame_num) : 2 * int32_t(coded_.frame_num) + 1;
}

// Whether a frame with these fields marked takes part in decoding a frame (both needed) or a field (any).
bool ReferenceBuffer::usable(uint8_t marked) const {
  return coded_.structure == kFrame ? marked == kFrame : marked != 0;
}

// The inverse of PicNum and of LongTermPicNum (8.2.4.1): for fields, odd numbers have the parity of the current one.
ReferenceBuffer::Part ReferenceBuffer::find_short_term(int64_t pic_num) const {
  const bool field = coded_.structure != kFrame;
  const uint8_t structure = field && !(pic_num & 1) ? kFrame ^ coded_.structure : coded_.structure;
  const int64_t wrap = field ? pic_num >> 1 : pic_num;
  for (int slot = 0; slot < kFrames; ++slot) {
    const Frame& frame = frames_[slot];
    if ((frame.short_term & structure) == structure && frame_num_wrap(frame, coded_.frame_num) == wrap) {
      return {int8_t(slot), structure};
    }
  }
  return {};
}

ReferenceBuffer::Part ReferenceBuffer::find_long_term(int64_t long_term_pic_num) const {
  const bool field = coded_.structure != kFrame;
  const uint8_t structure = field && !(long_term_pic_num & 1) ? kFrame ^ coded_.structure : coded_.structure;
  const int64_t index = field ? long_term_pic_num >> 1 : long_term_pic_num;
  for (int slot = 0; slot < kFrames; ++slot) {
    const Frame& frame = frames_[slot];
    if ((frame.long_term & structure) == structure && frame.long_term_frame_idx == index) {
      return {int8_t(slot), structure};
    }
  }
  return {};
}

// 8.2.4.2.1, 8.2.4.2.2: descending PicNum or FrameNumWrap. For a second field, the first of its frame is among them.
void ReferenceBuffer::order_short_term_p(FrameOrder& order) const {
  for (int slot = 0; slot < kFrames; ++slot) {
    if (usable(frames_[slot].short_term)) order.add(-frame_num_wrap(frames_[slot], coded_.frame_num), slot);
  }
}

// 8.2.4.2.3, 8.2.4.2.4: list 0 goes back from the current picture, then forward from it; list 1 the other way round.
// The count of a frame is that of its decoded fields, be both still marked or not.
void ReferenceBuffer::order_short_term_b(FrameOrder& order, bool list1) const {
  constexpr int64_t kSecondGroup = int64_t(1) << 40, kBeforeAll = -(int64_t(1) << 36);
  for (int slot = 0; slot < kFrames; ++slot) {
    const Frame& frame = frames_[slot];
    if (!usable(frame.short_term) || frame.order == Order::kNone) continue;
    const int64_t poc = frame.order == Order::kEarlier ? kBeforeAll + frame_num_wrap(frame, coded_.frame_num)
                                                       : int64_t(frame.pic_order_cnt());
    const bool past = poc <= coded_.poc;
    order.add((past ? -poc : poc) + (past == list1 ? kSecondGroup : 0), slot);
  }
}

// Frames as they are; for fields, the alternation of parities of 8.2.4.2.5, which begins with the current one's,
// leaves out fields that are not marked, and goes on with one parity when the other has run out.
void ReferenceBuffer::append_initial(PartList& list, const FrameOrder& order, bool long_term) const {
  if (coded_.structure == kFrame) {
    for (int i = 0; i < order.count; ++i) list.add({order.frames[i].second, kFrame});
    return;
  }
  const uint8_t parity[2] = {coded_.structure, uint8_t(kFrame ^ coded_.structure)};
  int at[2] = {0, 0};
  for (bool added = true; added;) {
    added = false;
    for (int k = 0; k < 2; ++k) {
      for (; at[k] < order.count; ++at[k]) {
        const Frame& frame = frames_[order.frames[at[k]].second];
        if ((long_term ? frame.long_term : frame.short_term) & parity[k]) break;
      }
      if (at[k] == order.count) continue;
      list.add({order.frames[at[k]++].second, parity[k]});
      added = true;
    }
  }
}

// 8.2.4.3. A number that names nothing puts a missing entry where the picture would have been.
void ReferenceBuffer::modify(PartList& list, int active, const std::vector<ListModification>& modifications) const {
  const int64_t current = curr_pic_num();
  const int64_t max_pic_num = int64_t(max_frame_num_) << (coded_.structure != kFrame);
  int64_t predicted = current;  // picNumLXPred
  int index = 0;                // refIdxLX
  for (const ListModification& modification : modifications) {
    if (index >= active) return;
    Part part;
    if (modification.idc <= 1) {
      const int64_t difference = int64_t(modification.value) + 1;  // abs_diff_pic_num
      if (difference > max_pic_num) continue;
      predicted += modification.idc == 0 ? -difference : difference;
      if (predicted < 0) predicted += max_pic_num;
      if (predicted >= max_pic_num) predicted -= max_pic_num;
      part = find_short_term(predicted > current ? predicted - max_pic_num : predicted);
    } else if (modification.idc == 2) {
      part = find_long_term(modification.value);
    } else {
      continue;
    }
    // The entry goes in at refIdxLX; what was there moves up to the picture's old place, or one off the end.
    int from = index;
    while (from < active - 1 && (part.slot < 0 || list.parts[from] != part)) ++from;
    std::copy_backward(list.parts.begin() + index, list.parts.begin() + from, list.parts.begin() + from + 1);
    list.parts[index++] = part;
  }
}

RefEntry ReferenceBuffer::entry(const Part& part) const {
  RefEntry result;
  if (part.slot < 0) {
    result.missing = true;
    return result;
  }
  const Frame& frame = frames_[part.slot];
  result.frame = frame.serial;
  result.structure = Structure(part.structure);
  result.long_term = (frame.long_term & part.structure) != 0;
  result.missing = frame.missing;
  result.poc = part.structure == kFrame ? frame.pic_order_cnt() : frame.poc[part.structure == kBottom];
  std::copy_n(frame.poc, 2, result.poc_field);
  if (!frame.missing) {
    result.number = frame.number;
    result.position = frame.position;
  }
  return result;
}

SliceRefs ReferenceBuffer::lists(const SliceHeader& slice) const {
  SliceRefs refs;
  const int lists = slice.is_intra() ? 0 : slice.is_b() ? 2 : 1;
  if (lists == 0 || !in_picture_) return refs;

  FrameOrder long_term;  // ascending LongTermPicNum or LongTermFrameIdx
  for (int slot = 0; slot < kFrames; ++slot) {
    if (usable(frames_[slot].long_term)) long_term.add(frames_[slot].long_term_frame_idx, slot);
  }
  std::array<PartList, 2> initial;
  for (int x = 0; x < lists; ++x) {
    FrameOrder short_term;
    if (slice.is_b()) {
      order_short_term_b(short_term, x == 1);
    } else {
      order_short_term_p(short_term);
    }
    append_initial(initial[x], short_term, false);
    append_initial(initial[x], long_term, true);
  }
  if (lists == 2 && initial[1].count > 1 && initial[0] == initial[1]) {
    std::swap(initial[1].parts[0], initial[1].parts[1]);
  }

  for (int x = 0; x < lists; ++x) {
    const int active = std::min<int>(slice.num_ref_idx[x], 32);
    modify(initial[x], active, slice.modifications[x]);
    refs.count[x] = uint8_t(active);
    for (int i = 0; i < active; ++i) refs.list[x][i] = entry(initial[x].parts[i]);
  }
  return refs;
}

}  // namespace himmel::h264
