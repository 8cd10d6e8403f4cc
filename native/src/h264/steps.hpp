// What both ways to rasterise share: where references lie in time, and the pieces of a macroblock.
#pragma once

#include <array>
#include <cmath>
#include <vector>

#include "h264/picture.hpp"

namespace himmel::h264 {

// Where a reference lies in time, seen from a field or frame of the picture.
struct Step {
  float distance = 0;      // frame intervals, positive for the future; 0: unknown
  float per_interval = 0;  // factor from a vector in quarter samples to motion forward in time per frame interval
  float lines = 0;         // quarter lines of the frame between lines of the same number in fields of unlike parity
};

// Distances to all references of a slice: [list][refIdx], for the frame or for a field of the given parity.
class Steps {
 public:
  Steps(const Picture& picture, const Slice& slice, int parity, bool field_of_frame) : parity_(parity) {
    for (size_t list = 0; list < 2; ++list)
      for (int i = 0; i < slice.refs.count[list] << field_of_frame; ++i) {
        const RefEntry& entry = slice.refs.list[list][size_t(field_of_frame ? i >> 1 : i)];
        int other = entry.structure == kBottom;
        if (field_of_frame) other = (i & 1) ^ parity;
        steps_[list][size_t(i)] = measure(picture, entry, field_of_frame || entry.structure != kFrame ? other : -1);
      }
  }
  const Step& at(int list, int ref) const { return steps_[size_t(list)][size_t(ref) & 63]; }

 private:
  Step measure(const Picture& picture, const RefEntry& entry, int other) const {
    Step step;
    double distance = entry.position - picture.position;
    if (std::isnan(distance)) {
      // Order counts mostly go up by two a frame; without positions that is the best guess.
      if (entry.frame == -1) return step;
      distance = 0.5 * (double(entry.poc) - (parity_ < 0 ? picture.poc : picture.poc_field[parity_]));
    } else if (other >= 0) {
      // The later field of a frame is half an interval behind the earlier one.
      distance += lag(entry.poc_field, other) - lag(picture.poc_field, parity_);
      step.lines = float(4 * (other - parity_));
    }
    if (distance == 0) return step;
    step.distance = float(distance);
    step.per_interval = float(0.25 / distance);
    return step;
  }
  static double lag(const int32_t poc[2], int field) { return poc[field] > poc[1 - field] ? 0.5 : 0.0; }

  int parity_;
  std::array<std::array<Step, 64>, 2> steps_{};
};

// Calls `each(x, y, w, h, block)` for pieces of an inter macroblock with one vector per list: x, y, w, h in 4x4
// blocks, `block` the 4x4 block that tells.
template <class Each>
void for_pieces(const Macroblock& mb, Each each) {
  switch (mb.shape) {
    case k16x16: each(0, 0, 4, 4, 0); return;
    case k16x8: each(0, 0, 4, 2, 0), each(0, 2, 4, 2, 8); return;
    case k8x16: each(0, 0, 2, 4, 0), each(2, 0, 2, 4, 2); return;
    default: break;
  }
  for (int q = 0; q < 4; ++q) {
    const int x = 2 * (q & 1), y = q & 2, block = 4 * y + x;
    switch (mb.sub[q]) {
      case k8x8: each(x, y, 2, 2, block); break;
      case k8x4: each(x, y, 2, 1, block), each(x, y + 1, 2, 1, block + 4); break;
      case k4x8: each(x, y, 1, 2, block), each(x + 1, y, 1, 2, block + 1); break;
      default:
        for (int b = 0; b < 4; ++b) each(x + (b & 1), y + (b >> 1), 1, 1, block + (b & 1) + 4 * (b >> 1));
    }
  }
}

// Place of a macroblock's lines in the frame: first line, and whether every second one is its own.
struct Lines {
  int top;
  bool alternate;
};

inline Lines lines_of(const Macroblock& mb, int row) {
  if (!mb.has(kMbField)) return {16 * row, false};
  return {32 * (row / 2) + (row & 1), true};
}

// The steps of every slice, by parity where macroblocks may be of either.
class AllSteps {
 public:
  explicit AllSteps(const Picture& picture) {
    for (const Slice& slice : *picture.slices) {
      if (slice.header.structure != kFrame) {
        steps_.push_back({Steps(picture, slice, slice.header.structure == kBottom, false)});
        continue;
      }
      steps_.push_back({Steps(picture, slice, -1, false)});
      if (!slice.header.mbaff) continue;
      for (int parity = 0; parity < 2; ++parity) steps_.back().push_back(Steps(picture, slice, parity, true));
    }
  }
  const Steps& of(const Macroblock& mb) const {
    const std::vector<Steps>& all = steps_[mb.slice];
    return all.size() == 1 || !mb.has(kMbField) ? all[0] : all[mb.has(kMbBottom) ? 2 : 1];
  }

 private:
  std::vector<std::vector<Steps>> steps_;
};

}  // namespace himmel::h264
