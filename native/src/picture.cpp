#include "picture.hpp"

#include <algorithm>
#include <unordered_set>

#include "nal.hpp"
#include "slice_decoder.hpp"

namespace himmel {

bool Picture::missing_references() const {
  return std::any_of(slices->begin(), slices->end(), [](const Slice& slice) {
    for (size_t list = 0; list < 2; ++list)
      for (size_t i = 0; i < slice.refs.count[list]; ++i)
        if (slice.refs.list[list][i].missing) return true;
    return false;
  });
}

namespace {

// Parse all slices of a picture whose co-located pictures have been parsed.
std::shared_ptr<FrameMotion> parse_slices(const Picture& picture, ResidualSink* sink) {
  static thread_local Scratch scratch;
  const std::vector<Slice>& slices = *picture.slices;
  auto motion = std::make_shared<FrameMotion>();
  const bool two_lists =
      std::any_of(slices.begin(), slices.end(), [](const Slice& slice) { return slice.header.is_b(); });
  motion->allocate(picture.sps->width_mbs, picture.sps->height_mbs(), two_lists ? 2 : 1);
  SliceDecoder decoder(*motion, scratch, sink);
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
    decoder.decode(slice, uint16_t(i), colocated, picture.poc_field, picture.poc, scratch.rbsp.data(), size);
  }
  return motion;
}

// Macroblocks that no slice gave count as damaged, without vectors.
int count_damaged(FrameMotion& motion) {
  int damaged = 0;
  for (size_t mb = 0; mb < motion.size(); ++mb) {
    if (!motion.mbs[mb].has(kMbDamaged)) continue;
    ++damaged;
    for (int list = 0; list < motion.lists; ++list) {
      std::fill_n(motion.mv[list] + 16 * mb, 16, Mv{});
      std::fill_n(motion.ref[list] + 4 * mb, 4, int8_t(-1));
    }
  }
  return damaged;
}

void parse_one(Picture& picture, Detail detail) {
  const std::lock_guard lock(picture.mutex);
  if (picture.detail >= detail) return;
  for (Source& source : picture.colocated) {
    if (!source.picture) continue;
    source.motion = source.picture->motion;
    source.slices = source.picture->slices;
    source.picture.reset();
  }
  ResidualBlocks blocks;
  ResidualSink sink(blocks, nullptr, detail == Detail::FineResidual);
  const auto motion = parse_slices(picture, detail >= Detail::Residual ? &sink : nullptr);
  const int damaged = count_damaged(*motion);
  picture.residual = std::move(blocks);
  // A second pass gives the same motion as the first, which others may be reading.
  if (picture.detail == Detail::None) {
    picture.motion = motion;
    picture.damaged = damaged;
  }
  picture.detail = detail;
}

// Unparsed pictures whose motion `picture` needs, each before those that need it. Iterative: chains of B pictures may be long.
std::vector<std::shared_ptr<Picture>> needed(const std::shared_ptr<Picture>& picture) {
  std::vector<std::shared_ptr<Picture>> order, stack{picture};
  std::unordered_set<const Picture*> seen{picture.get()};
  for (size_t next = 0; next < stack.size(); ++next) {
    const std::shared_ptr<Picture> current = stack[next];
    if (current != picture) order.push_back(current);
    const std::lock_guard lock(current->mutex);
    for (const Source& source : current->colocated)
      if (source.picture && source.picture->detail == Detail::None && seen.insert(source.picture.get()).second)
        stack.push_back(source.picture);
  }
  // What a picture needs was decoded before it.
  std::sort(order.begin(), order.end(), [](const auto& a, const auto& b) { return a->serial < b->serial; });
  return order;
}

}  // namespace

void parse(const std::shared_ptr<Picture>& picture, Detail detail) {
  if (picture->detail >= detail) return;
  for (const auto& each : needed(picture)) parse_one(*each, Detail::Vectors);
  parse_one(*picture, detail);
}

ResidualPlanes spatial_residual(const std::shared_ptr<Picture>& picture) {
  parse(picture, Detail::Vectors);
  ResidualPlanes planes;
  const int count = picture->sps->chroma_array_type() == 0 ? 1 : 3;
  for (int plane = 0; plane < count; ++plane) {
    planes.width[plane] = 16 * picture->sps->width_mbs >> (plane ? picture->chroma_shift_x() : 0);
    planes.height[plane] = 16 * picture->sps->height_mbs() >> (plane ? picture->chroma_shift_y() : 0);
    planes.plane[plane].assign(size_t(planes.width[plane]) * size_t(planes.height[plane]), 0);
  }
  ResidualBlocks blocks;
  ResidualSink sink(blocks, &planes, false);
  const std::lock_guard lock(picture->mutex);
  parse_slices(*picture, &sink);
  return planes;
}

}  // namespace himmel
