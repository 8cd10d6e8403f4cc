// Parsed pictures -> maps on a grid of cells.
#pragma once

#include "common/grid.hpp"
#include "h264/picture.hpp"

namespace himmel::h264 {

// `out` holds kMapPlanes * rows * columns values. The picture has been parsed, with residual if that is wanted.
Summary rasterise(const Picture& picture, const Grid& grid, bool residual, float* out);

}  // namespace himmel::h264
