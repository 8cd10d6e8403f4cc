// Parsed pictures -> vectors one by one.
#pragma once

#include <vector>

#include "common/vector_record.hpp"
#include "h264/picture.hpp"

namespace himmel::h264 {

// In macroblock order. The picture has been parsed.
std::vector<VectorRecord> vectors(const Picture& picture);

}  // namespace himmel::h264
