// libFuzzer target: the bytes are packets, each behind two bytes of length, pushed into one stream and parsed with
// everything on. The first byte chooses whether some packets are not kept and whether reading starts anew now and
// then.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "h264/raster.hpp"
#include "h264/stream.hpp"
#include "h264/vector_records.hpp"

namespace {

// Larger pictures would only make the fuzzer slow.
constexpr size_t kMostMacroblocks = 2048;

void ask(const std::shared_ptr<himmel::h264::Picture>& picture) {
  if (!picture->has_bytes || size_t(picture->sps->width_mbs) * size_t(picture->sps->height_mbs()) > kMostMacroblocks)
    return;
  himmel::parse(picture, himmel::Detail::FineResidual);
  const himmel::h264::Sps& sps = *picture->sps;
  for (const int cell : {8, 16}) {  // cells that are macroblocks have a way of their own
    const himmel::Grid grid{int(sps.crop_left), int(sps.crop_top), sps.width(), sps.height(), cell};
    std::vector<float> maps(size_t(himmel::kMapPlanes) * size_t(grid.rows()) * size_t(grid.columns()));
    himmel::h264::rasterise(*picture, grid, true, maps.data());
  }
  himmel::h264::vectors(*picture);
  himmel::h264::spatial_residual(picture);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 1) return 0;
  const uint8_t choice = data[0];
  size_t at = 1;
  try {
    himmel::h264::Stream stream;
    for (int64_t number = 0; at + 2 <= size; ++number) {
      const size_t length = std::min<size_t>(size_t(data[at] << 8 | data[at + 1]), size - at - 2);
      const bool keep = !(choice & 1) || number % 3 != 0;
      for (const auto& picture : stream.push(data + at + 2, length, number, double(number), keep)) ask(picture);
      at += 2 + length;
      if (choice & 2 && number % 7 == 6) stream.reset();
    }
    for (const auto& picture : stream.flush()) ask(picture);
  } catch (const himmel::Unsupported&) {
  } catch (const himmel::StreamError&) {}
  return 0;
}
