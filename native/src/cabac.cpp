#include "cabac.hpp"

#include <algorithm>

#include "cabac_tables.hpp"

namespace himmel {

namespace cabac_detail {

const std::array<uint8_t, 512> kLps = [] {
  std::array<uint8_t, 512> table{};
  for (int quarter = 0; quarter < 4; ++quarter)
    for (int state = 0; state < 128; ++state)
      table[size_t(128 * quarter + state)] = kRangeLps[state >> 1][quarter];
  return table;
}();

const std::array<uint8_t, 256> kNext = [] {
  std::array<uint8_t, 256> table{};
  for (int state = 0; state < 64; ++state)
    for (int mps = 0; mps < 2; ++mps) {
      table[size_t(2 * state + mps)] = uint8_t(2 * std::min(state + 1, 62) + mps);
      const int swapped = state == 0 ? 1 - mps : mps;
      table[size_t(128 + 2 * state + mps)] = uint8_t(2 * kNextStateLps[state] + swapped);
    }
  // pStateIdx 63 never adapts (9.3.1.2).
  table[126] = 126;
  table[127] = 127;
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
