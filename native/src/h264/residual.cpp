#include "h264/residual.hpp"

#include <algorithm>
#include <cstring>

#include "h264/residual_tables.hpp"

namespace himmel::h264 {

namespace {

// Conforming streams stay far below (8.5.12); what lies above comes from damage and must not overflow the sums.
constexpr int64_t kMaxCoefficient = int64_t(1) << 24;

int32_t bounded(int64_t value) { return int32_t(std::clamp(value, -kMaxCoefficient, kMaxCoefficient)); }

// 8.5.12.1 and 8.5.13.1: (level * scale) * 2^(qp / 6 - shift), rounded.
int32_t scaled(int32_t level, int scale, int qp, int shift) {
  const int64_t product = int64_t(std::clamp<int32_t>(level, -(1 << 24), 1 << 24)) * scale;
  const int up = qp / 6 - shift;
  return bounded(up >= 0 ? product << up : (product + (int64_t(1) << (-up - 1))) >> -up);
}

void transform4(const int32_t* in, int step, int32_t* out) {
  const int32_t e0 = in[0] + in[2 * step], e1 = in[0] - in[2 * step];
  const int32_t e2 = (in[step] >> 1) - in[3 * step], e3 = in[step] + (in[3 * step] >> 1);
  out[0] = e0 + e3, out[step] = e1 + e2, out[2 * step] = e1 - e2, out[3 * step] = e0 - e3;
}

void transform8(const int32_t* in, int s, int32_t* out) {
  const int32_t a0 = in[0] + in[4 * s], a2 = in[0] - in[4 * s];
  const int32_t a4 = (in[2 * s] >> 1) - in[6 * s], a6 = (in[6 * s] >> 1) + in[2 * s];
  const int32_t b0 = a0 + a6, b2 = a2 + a4, b4 = a2 - a4, b6 = a0 - a6;
  const int32_t a1 = in[5 * s] - in[3 * s] - in[7 * s] - (in[7 * s] >> 1);
  const int32_t a3 = in[s] + in[7 * s] - in[3 * s] - (in[3 * s] >> 1);
  const int32_t a5 = in[7 * s] - in[s] + in[5 * s] + (in[5 * s] >> 1);
  const int32_t a7 = in[3 * s] + in[5 * s] + in[s] + (in[s] >> 1);
  const int32_t b1 = a1 + (a7 >> 2), b7 = a7 - (a1 >> 2), b3 = a3 + (a5 >> 2), b5 = (a3 >> 2) - a5;
  out[0] = b0 + b7, out[7 * s] = b0 - b7, out[s] = b2 + b5, out[6 * s] = b2 - b5;
  out[2 * s] = b4 + b3, out[5 * s] = b4 - b3, out[3 * s] = b6 + b1, out[4 * s] = b6 - b1;
}

// 8.5.12.2, 8.5.13.2: rows, columns, and the final rounding.
void inverse(const int32_t* block, int size, int32_t* residual) {
  int32_t rows[64];
  const auto transform = size == 4 ? transform4 : transform8;
  for (int y = 0; y < size; ++y) transform(block + size * y, 1, rows + size * y);
  for (int x = 0; x < size; ++x) transform(rows + x, size, residual + x);
  for (int i = 0; i < size * size; ++i) residual[i] = (residual[i] + 32) >> 6;
}

// (sum, energy) of samples of a square inside a block.
std::pair<float, float> measure(const int32_t* block, int stride, int x, int y, int size) {
  double sum = 0, energy = 0;
  for (int row = y; row < y + size; ++row)
    for (int column = x; column < x + size; ++column) {
      const double value = block[stride * row + column];
      sum += value, energy += value * value;
    }
  return {float(sum), float(energy)};
}

}  // namespace

void ResidualSink::start(const SliceHeader& header, const Macroblock& mb, int x, int row, bool field_of_frame) {
  sps_ = header.sps.get();
  pps_ = header.pps.get();
  field_ = field_of_frame || header.structure != kFrame;
  bypass_ = mb.has(kMbBypass);
  places_ = bypass_ || planes_;
  chroma_coded_[1] = chroma_coded_[2] = false;  // the macroblock before may have broken off
  x_ = 16 * x;
  y_ = field_ ? 32 * (row / 2) + (row & 1) : 16 * row;
  const int offset = 6 * (sps_->bit_depth_chroma - 8);
  qp_[0] = mb.qp + 6 * (sps_->bit_depth_luma - 8);
  for (int plane = 1; plane < 3; ++plane) {
    const int index = std::clamp(mb.qp + pps_->chroma_qp_index_offset[plane - 1], -offset, 51);
    qp_[plane] = (index < 30 ? index : kChromaQp[index - 30]) + offset;
  }
}

// LevelScale4x4 and LevelScale8x8 of inter blocks of a plane (8.5.9), kept until the parameter set changes.
const ResidualSink::Scales& ResidualSink::scales(int plane) {
  const int rest = qp_[plane] % 6;
  Scales& scales = scales_[plane][rest];
  if (scales.of == pps_) return scales;
  scales.of = pps_;
  const auto& weight4 = pps_->scaling.list4x4[size_t(3 + plane)];
  const auto& weight8 = pps_->scaling.list8x8[size_t(2 * plane + 1)];
  for (int i = 0; i < 16; ++i) {
    const int odd = (i & 1) + (i >> 2 & 1);
    scales.s4[i] = uint16_t(weight4[size_t(i)] * kNorm4x4[rest][odd == 0 ? 0 : odd == 2 ? 1 : 2]);
  }
  for (int i = 0; i < 64; ++i)
    scales.s8[i] = uint16_t(weight8[size_t(i)] * kNorm8x8[rest][kNormClass8x8[i >> 3 & 3][i & 3]]);
  return scales;
}

// Where column x and line y of the macroblock's part of a plane lie in the frame.
int ResidualSink::column(int plane, int x) const {
  return (plane > 0 && sps_->chroma_format_idc < 3 ? x_ >> 1 : x_) + x;
}

int ResidualSink::line(int plane, int y) const {
  const bool half = plane > 0 && sps_->chroma_format_idc == 1;
  if (!field_) return (half ? y_ >> 1 : y_) + y;
  const int top = y_ & ~1;
  return (half ? top >> 1 : top) + (y_ & 1) + 2 * y;
}

void ResidualSink::luma_4x4(int plane, int x, int y, const Levels& levels) {
  luma<4>(plane, x, y, levels, kScan4x4[field_]);
}

void ResidualSink::luma_8x8(int plane, int x, int y, const Levels& levels) {
  luma<8>(plane, x, y, levels, kScan8x8[field_]);
}

template <int kSize>
void ResidualSink::luma(int plane, int x, int y, const Levels& levels, const uint8_t* scan) {
  constexpr int kShift = kSize == 4 ? 4 : 6;
  const float* norms = kSize == 4 ? kNorms4x4.data() : kNorms8x8.data();
  if (bypass_ || planes_ || (fine_ && kSize == 8)) {
    int32_t block[kSize * kSize] = {};
    const uint16_t* scale = bypass_ ? nullptr : kSize == 4 ? scales(plane).s4 : scales(plane).s8;
    for (int i = 0; i < levels.count; ++i) {
      const int at = scan[levels.position[i]];
      block[at] = scale ? scaled(levels.level[i], scale[at], qp_[plane], kShift) : bounded(levels.level[i]);
    }
    return bypass_ ? emit_lossless(plane, 4 * x, 4 * y, kSize, block) : emit(plane, 4 * x, 4 * y, kSize, block);
  }
  // Few levels are not 0: sums over them alone.
  const uint16_t* scale = kSize == 4 ? scales(plane).s4 : scales(plane).s8;
  const int qp = qp_[plane];
  float energy = 0, mean = 0;
  for (int i = 0; i < levels.count; ++i) {
    const int at = scan[levels.position[i]];
    const float value = float(scaled(levels.level[i], scale[at], qp, kShift));
    energy += value * value * norms[at];
    if (at == 0) mean = value;
  }
  push(plane, 4 * x, 4 * y, kSize, mean, energy);
}

// Sum and energy of a block from those of its coefficients: the transform's basis functions are orthogonal (Parseval).
void ResidualSink::push(int plane, int x, int y, int size, float mean, float energy) {
  blocks_.add({uint16_t(column(plane, x)), uint16_t(line(plane, y)), uint8_t(plane), uint8_t(size), field_,
               mean * float(size * size) / 64, energy / 4096});
}

// Before the first coded chroma block of a plane.
void ResidualSink::begin_chroma(int plane) {
  if (chroma_coded_[plane]) return;
  chroma_coded_[plane] = true;
  if (places_)
    std::memset(chroma_[plane], 0, sizeof chroma_[plane]);
  else
    sums_[plane] = {};
}

void ResidualSink::chroma_dc(int plane, const Levels& levels) {
  begin_chroma(plane);
  const bool is_422 = sps_->chroma_format_idc == 2;
  int32_t c[8] = {};
  for (int i = 0; i < levels.count; ++i) {
    const int at = levels.position[i];
    c[is_422 ? kChromaDc422[at] : at] = bounded(levels.level[i]);
  }
  const int count = is_422 ? 8 : 4;
  if (bypass_) {
    for (int i = 0; i < count; ++i) chroma_[plane][i][0] = c[i];
    return;
  }
  // 8.5.11.1 and 8.5.11.2. Sums in 64 bits: damaged levels may be large.
  int64_t f[8];
  for (int row = 0; row < count / 2; ++row) {
    f[2 * row] = int64_t(c[2 * row]) + c[2 * row + 1];
    f[2 * row + 1] = int64_t(c[2 * row]) - c[2 * row + 1];
  }
  const int qp = qp_[plane] + (is_422 ? 3 : 0);
  const auto& weight = pps_->scaling.list4x4[size_t(3 + plane)];
  const int64_t scale = weight[0] * kNorm4x4[qp % 6][0];
  const auto set = [&](int block, int64_t value) {
    if (places_)
      chroma_[plane][block][0] = bounded(value);
    else
      sums_[plane].dc[block] = float(bounded(value));
  };
  for (int column = 0; column < 2; ++column) {
    if (!is_422) {
      const int64_t a = f[column], b = f[2 + column];
      set(column, (((a + b) * scale) << (qp / 6)) >> 5);
      set(2 + column, (((a - b) * scale) << (qp / 6)) >> 5);
      continue;
    }
    const int64_t a = f[column], b = f[2 + column], d = f[4 + column], e = f[6 + column];
    const int64_t g[4] = {a + b + d + e, a + b - d - e, a - b - d + e, a - b + d - e};
    for (int row = 0; row < 4; ++row)
      set(2 * row + column, qp >= 36 ? (g[row] * scale) << (qp / 6 - 6)
                                     : (g[row] * scale + (int64_t(1) << (5 - qp / 6))) >> (6 - qp / 6));
  }
}

void ResidualSink::chroma_ac(int plane, int x, int y, const Levels& levels) {
  begin_chroma(plane);
  const uint8_t* scan = kScan4x4[field_];
  if (!places_) {
    const uint16_t* scale = scales(plane).s4;
    float energy = 0;
    for (int i = 0; i < levels.count; ++i) {
      const int at = scan[levels.position[i] + 1];
      const float value = float(scaled(levels.level[i], scale[at], qp_[plane], 4));
      energy += value * value * kNorms4x4[size_t(at)];
    }
    sums_[plane].energy[2 * y + x] = energy;
    return;
  }
  int32_t* block = chroma_[plane][2 * y + x];
  const Scales* scale = bypass_ ? nullptr : &scales(plane);
  for (int i = 0; i < levels.count; ++i) {
    const int at = scan[levels.position[i] + 1];
    block[at] = scale ? scaled(levels.level[i], scale->s4[at], qp_[plane], 4) : bounded(levels.level[i]);
  }
}

void ResidualSink::finish() {
  for (int plane = 1; plane < 3; ++plane)
    if (chroma_coded_[plane]) chroma_plane(plane);
}

void ResidualSink::chroma_plane(int plane) {
  chroma_coded_[plane] = false;
  const int count = sps_->chroma_format_idc == 2 ? 8 : 4;
  for (int i = 0; i < count; ++i) {
    if (!places_) {
      const float dc = sums_[plane].dc[i], energy = sums_[plane].energy[i];
      if (dc != 0 || energy != 0) push(plane, 4 * (i & 1), 4 * (i >> 1), 4, dc, energy + dc * dc * kNorms4x4[0]);
      continue;
    }
    const int32_t* block = chroma_[plane][i];
    if (std::all_of(block, block + 16, [](int32_t value) { return value == 0; })) continue;
    if (bypass_)
      emit_lossless(plane, 4 * (i & 1), 4 * (i >> 1), 4, block);
    else
      emit(plane, 4 * (i & 1), 4 * (i >> 1), 4, block);
  }
}

// A block of scaled coefficients at (x, y) inside the macroblock.
void ResidualSink::emit(int plane, int x, int y, int size, const int32_t* block) {
  if (planes_ || (fine_ && size == 8)) {
    int32_t residual[64];
    inverse(block, size, residual);
    if (planes_) write(plane, x, y, size, residual);
    if (fine_ && size == 8) return emit_lossless(plane, x, y, size, residual);
  }
  const float* norms = size == 4 ? kNorms4x4.data() : kNorms8x8.data();
  float energy = 0;
  for (int i = 0; i < size * size; ++i) {
    const float value = float(block[i]);
    energy += value * value * norms[i];
  }
  push(plane, x, y, size, float(block[0]), energy);
}

// A block of residual samples, measured as it is, in pieces of 4x4 where cells may be that small.
void ResidualSink::emit_lossless(int plane, int x, int y, int size, const int32_t* block) {
  if (planes_ && bypass_) write(plane, x, y, size, block);
  const int piece = fine_ ? 4 : size;
  for (int py = 0; py < size; py += piece)
    for (int px = 0; px < size; px += piece) {
      const auto [sum, energy] = measure(block, size, px, py, piece);
      blocks_.add({uint16_t(column(plane, x + px)), uint16_t(line(plane, y + py)), uint8_t(plane), uint8_t(piece),
                   field_, sum, energy});
    }
}

void ResidualSink::write(int plane, int x, int y, int size, const int32_t* residual) {
  const int stride = planes_->width[plane];
  for (int row = 0; row < size; ++row) {
    int32_t* to = planes_->plane[plane].data() + size_t(line(plane, y + row)) * size_t(stride) + column(plane, x);
    std::memcpy(to, residual + size * row, size_t(size) * sizeof(int32_t));
  }
}

}  // namespace himmel::h264
