#include "h264/vector_records.hpp"

#include <cmath>

#include "h264/steps.hpp"

namespace himmel::h264 {

std::vector<VectorRecord> vectors(const Picture& picture) {
  const FrameMotion& motion = *picture.motion;
  const AllSteps all(picture);
  std::vector<VectorRecord> records;
  size_t at = 0;
  for (int row = 0; row < motion.height_mbs; ++row)
    for (int column = 0; column < motion.width_mbs; ++column, ++at) {
      const Macroblock& mb = motion.mbs[at];
      if (mb.has(kMbDamaged | kMbIntra)) continue;
      const Lines lines = lines_of(mb, row);
      const Slice& slice = (*picture.slices)[mb.slice];
      const bool field_of_frame = slice.header.mbaff && mb.has(kMbField);
      const uint8_t own = mb.has(kMbBottom) ? kBottom : kTop;
      const Steps& steps = all.of(mb);
      for_pieces(mb, [&](int px, int py, int pw, int ph, int block) {
        for (int list = 0; list < motion.lists; ++list) {
          const int ref = motion.ref[list][4 * at + size_t(2 * (block >> 3) + (block >> 1 & 1))];
          if (ref < 0) continue;
          const RefEntry& entry = slice.refs.list[size_t(list)][size_t(field_of_frame ? ref >> 1 : ref) & 31];
          const Mv mv = motion.mv[list][16 * at + size_t(block)];
          const uint8_t structure = !field_of_frame ? uint8_t(entry.structure) : ref & 1 ? uint8_t(3 - own) : own;
          const int32_t poc = structure == kFrame ? entry.poc : entry.poc_field[structure == kBottom];
          records.push_back({int16_t(16 * column + 4 * px), int16_t(lines.top + (lines.alternate ? 8 : 4) * py),
                             uint8_t(4 * pw), uint8_t(4 * ph), mv.x, mv.y, uint8_t(list), uint8_t(ref),
                             uint8_t(lines.alternate ? own : 0), structure, 0, int32_t(at), 0, entry.number, poc,
                             std::abs(steps.at(list, ref).distance)});
        }
      });
    }
  return records;
}

}  // namespace himmel::h264
