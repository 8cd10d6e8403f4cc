#include "h264/picture.hpp"

#include <algorithm>
#include <limits>

#include "common/units.hpp"
#include "h264/residual.hpp"
#include "h264/slice_decoder.hpp"

namespace himmel::h264 {

bool Picture::missing_references() const {
  return std::any_of(slices->begin(), slices->end(), [](const Slice& slice) {
    for (size_t list = 0; list < 2; ++list)
      for (size_t i = 0; i < slice.refs.count[list]; ++i)
        if (slice.refs.list[list][i].missing) return true;
    return false;
  });
}

namespace {

// Parse all slices of a picture whose co-located pictures have been parsed; `broken` counts those that are not read to
// their end.
std::shared_ptr<FrameMotion> parse_slices(const Picture& picture, ResidualSink* sink, int& broken) {
  static thread_local Scratch scratch;
  const std::vector<Slice>& slices = *picture.slices;
  auto motion = std::make_shared<FrameMotion>();
  const bool two_lists =
      std::any_of(slices.begin(), slices.end(), [](const Slice& slice) { return slice.header.is_b(); });
  motion->allocate(picture.sps->width_mbs, picture.sps->height_mbs(), two_lists ? 2 : 1);
  SliceState state(*motion, scratch, sink);
  for (size_t i = 0; i < slices.size(); ++i) {
    const Slice& slice = slices[i];
    if (slice.header.colour_plane != 0) continue;  // planes of 4:4:4 coded apart repeat what luma says about motion
    const Source& source = picture.colocated[i];
    Colocated colocated;
    if (source.self)
      colocated = {motion.get(), &slices};
    else if (source.motion && source.motion->width_mbs == motion->width_mbs && source.motion->size() == motion->size())
      colocated = {source.motion.get(), source.slices.get()};
    const size_t size = unescape(picture.bytes.data() + slice.offset, slice.size, slice.size, scratch.rbsp);
    broken +=
        !decode_slice(state, slice, uint16_t(i), colocated, picture.poc_field, picture.poc, scratch.rbsp.data(), size);
  }
  return motion;
}

struct Tally {
  int damaged = 0;
  float quantiser = 0;
};

// Macroblocks that no slice gave count as damaged, without vectors; the mean quantiser is that of the others.
Tally take_stock(FrameMotion& motion) {
  Tally tally;
  int64_t sum = 0;
  for (size_t mb = 0; mb < motion.size(); ++mb) {
    if (!motion.mbs[mb].has(kMbDamaged)) {
      sum += motion.mbs[mb].qp;
      continue;
    }
    ++tally.damaged;
    for (int list = 0; list < motion.lists; ++list) {
      std::fill_n(motion.mv[list] + 16 * mb, 16, Mv{});
      std::fill_n(motion.ref[list] + 4 * mb, 4, int8_t(-1));
    }
  }
  const int64_t read = int64_t(motion.size()) - tally.damaged;
  tally.quantiser = read > 0 ? float(double(sum) / double(read)) : std::numeric_limits<float>::quiet_NaN();
  return tally;
}

}  // namespace

SampleFormat Picture::sample_format() const {
  const int format = sps->chroma_format_idc;
  return {sps->bit_depth_luma, sps->bit_depth_chroma, format == 1 || format == 2, format == 1};
}

void Picture::add_needed(std::vector<std::shared_ptr<CodedPicture>>& pictures) const {
  for (const Source& source : colocated)
    if (source.picture) pictures.push_back(source.picture);
}

void Picture::parse_alone(Detail wanted) {
  for (Source& source : colocated) {
    if (!source.picture) continue;
    source.motion = source.picture->motion;
    source.slices = source.picture->slices;
    source.picture.reset();
  }
  ResidualBlocks blocks;
  ResidualSink sink(blocks, nullptr, wanted == Detail::FineResidual);
  int broken = 0;
  const auto parsed = parse_slices(*this, wanted >= Detail::Residual ? &sink : nullptr, broken);
  const Tally tally = take_stock(*parsed);
  residual = std::move(blocks);
  // A second pass gives the same motion as the first, which others may be reading.
  if (detail != Detail::None) return;
  motion = parsed;
  damaged = tally.damaged;
  quantiser = tally.quantiser;
  broken_slices = broken;
}

ResidualPlanes spatial_residual(const std::shared_ptr<Picture>& picture) {
  parse(picture, Detail::Vectors);
  ResidualPlanes planes;
  const int count = picture->sps->chroma_array_type() == 0 ? 1 : 3;
  const SampleFormat format = picture->sample_format();
  for (int plane = 0; plane < count; ++plane) {
    planes.width[plane] = 16 * picture->sps->width_mbs >> (plane ? format.chroma_shift_x : 0);
    planes.height[plane] = 16 * picture->sps->height_mbs() >> (plane ? format.chroma_shift_y : 0);
    planes.plane[plane].assign(size_t(planes.width[plane]) * size_t(planes.height[plane]), 0);
  }
  ResidualBlocks blocks;
  ResidualSink sink(blocks, &planes, false);
  const std::lock_guard lock(picture->mutex);
  int broken = 0;
  parse_slices(*picture, &sink, broken);
  return planes;
}

}  // namespace himmel::h264
