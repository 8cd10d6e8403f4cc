// Cells of 16x16 pixels on a frame's macroblocks: what most callers ask for.
#pragma once

#include "common/grid.hpp"
#include "h264/picture.hpp"

namespace himmel::h264 {

// Motion of a frame without field macroblocks on cells that are its macroblocks, clipped by the grid's window. Planes
// of the residual are left alone.
Summary write_macroblocks(const Picture& picture, const Grid& grid, float* out);

}  // namespace himmel::h264
