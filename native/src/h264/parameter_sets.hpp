// Sequence and picture parameter sets (7.3.2.1, 7.3.2.2, Annex E as far as it is needed).
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "common/bit_reader.hpp"

namespace himmel::h264 {

// Scaling lists after fall-back (Tables 7-2, 8.5.9), in raster order: [row * 4 + column], [row * 8 + column].
// Order of lists: 4x4 Intra Y, Cb, Cr, Inter Y, Cb, Cr; 8x8 Intra Y, Inter Y, Intra Cb, Inter Cb, Intra Cr, Inter Cr.
struct ScalingLists {
  std::array<std::array<uint8_t, 16>, 6> list4x4;
  std::array<std::array<uint8_t, 64>, 6> list8x8;
  bool flat = true;  // all 16
  bool operator==(const ScalingLists&) const = default;
};

struct Sps {
  uint8_t profile_idc = 0, level_idc = 0;
  uint8_t constraint_flags = 0;  // the byte as coded: constraint_set0_flag is 0x80
  uint8_t id = 0;
  uint8_t chroma_format_idc = 1;
  bool separate_colour_plane = false;
  uint8_t bit_depth_luma = 8, bit_depth_chroma = 8;
  bool qpprime_y_zero_transform_bypass = false;
  bool has_scaling_matrix = false;
  ScalingLists scaling;  // of the sequence, after fall-back rule set A; flat without a matrix
  uint8_t log2_max_frame_num = 4;
  uint8_t poc_type = 0;
  uint8_t log2_max_poc_lsb = 4;
  bool delta_pic_order_always_zero = false;
  int32_t offset_for_non_ref_pic = 0, offset_for_top_to_bottom_field = 0;
  std::vector<int32_t> offset_for_ref_frame;  // at most 255
  uint8_t max_num_ref_frames = 0;
  bool gaps_in_frame_num_allowed = false;
  uint16_t width_mbs = 0;         // PicWidthInMbs
  uint16_t height_map_units = 0;  // PicHeightInMapUnits
  bool frame_mbs_only = true;
  bool mb_adaptive_frame_field = false;
  bool direct_8x8_inference = false;
  uint32_t crop_left = 0, crop_right = 0, crop_top = 0, crop_bottom = 0;  // luma samples
  bool has_timing = false;
  uint32_t num_units_in_tick = 0, time_scale = 0;
  bool bitstream_restriction = false;
  uint8_t max_num_reorder_frames = 0, max_dec_frame_buffering = 0;

  int chroma_array_type() const { return separate_colour_plane ? 0 : chroma_format_idc; }
  int height_mbs() const { return (2 - frame_mbs_only) * height_map_units; }  // FrameHeightInMbs
  int width() const { return 16 * width_mbs - int(crop_left + crop_right); }
  int height() const { return 16 * height_mbs() - int(crop_top + crop_bottom); }
  bool operator==(const Sps&) const = default;
};

struct Pps {
  uint8_t id = 0, sps_id = 0;
  bool cabac = false;
  bool bottom_field_pic_order_in_frame_present = false;
  uint8_t num_slice_groups = 1;  // more than 1 is FMO: refused
  uint8_t num_ref_idx_default[2] = {1, 1};
  bool weighted_pred = false;
  uint8_t weighted_bipred_idc = 0;
  int8_t pic_init_qp = 26, pic_init_qs = 26;  // 26 + pic_init_qp_minus26
  int8_t chroma_qp_index_offset[2] = {0, 0};  // Cb, Cr
  bool deblocking_filter_control_present = false;
  bool constrained_intra_pred = false;
  bool redundant_pic_cnt_present = false;
  bool transform_8x8_mode = false;
  ScalingLists scaling;  // in force: of the picture after fall-back rule set A or B, or of the sequence

  // The last members depend on the sequence parameter set: how many lists are coded, and what takes the place of the
  // others. That set may arrive later or be replaced, so the syntax from transform_8x8_mode_flag on is kept as it
  // came.
  bool has_tail = false;
  std::vector<uint8_t> tail;  // bounded: as long as the longest such syntax, and kPadding
  size_t tail_bit = 0;        // where it begins
  // What transform_8x8_mode, chroma_qp_index_offset[1] and scaling hold for; null: they have not been read.
  std::shared_ptr<const Sps> activated;
  bool operator==(const Pps&) const = default;
};

// Both throw StreamError("what is wrong") on syntax that cannot be used and Unsupported("name") on what is refused.
Sps parse_sps(BitReader& bits);
// If the sequence parameter set that it names is there and fits, the result has been completed from it; if not,
// `activated` is null.
Pps parse_pps(BitReader& bits, const std::array<std::shared_ptr<const Sps>, 32>& sets);
// Read the members that depend on the sequence parameter set. parse_slice_header() does this to a copy whenever a
// slice brings the two together for the first time.
void complete_pps(Pps& pps, std::shared_ptr<const Sps> sps);

}  // namespace himmel::h264
