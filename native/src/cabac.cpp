#include "cabac.hpp"

#include <algorithm>
#include <cstring>

#include "cabac_tables.hpp"

namespace himmel {

namespace cabac_detail {

const std::array<Transition, 128> kTransitions = [] {
  std::array<Transition, 128> table{};
  for (size_t at = 0; at < 128; ++at) {
    Transition& transition = table[at];
    const size_t state = at >> 1, mps = at & 1;
    for (size_t quarter = 0; quarter < 4; ++quarter) {
      const uint64_t least = uint64_t(kRangeLps[state][quarter]) << 55;
      std::memcpy(transition.bytes + 8 * (4 + quarter), &least, sizeof least);
      transition.bytes[4 + quarter] = uint8_t(std::countl_zero(least));
    }
    // pStateIdx 63 never adapts (9.3.1.2).
    const bool fixed = state == 63;
    transition.bytes[0] = uint8_t(fixed ? at : 2 * std::min<size_t>(state + 1, 62) + mps);
    transition.bytes[1] = uint8_t(fixed ? at : 2 * kNextStateLps[state] + (state == 0 ? 1 - mps : mps));
  }
  return table;
}();

}  // namespace cabac_detail

void init_contexts(std::array<uint8_t, 1024>& contexts, int table, int slice_qp) {
  const int qp = std::clamp(slice_qp, 0, 51);
  for (size_t i = 0; i < contexts.size(); ++i) {
    const int m = kCabacInit[table][i][0], n = kCabacInit[table][i][1];
    const int state = std::clamp(((m * qp) >> 4) + n, 1, 126);
    contexts[i] = uint8_t(state <= 63 ? 2 * (63 - state) : 2 * (state - 64) + 1);
  }
}

}  // namespace himmel
