#include "h264/parameter_sets.hpp"

#include <algorithm>
#include <string>

#include "common/checked_bits.hpp"
#include "h264/residual_tables.hpp"

namespace himmel::h264 {

namespace {

// Far above level 6.2; what is larger can't be a picture and would only ask for memory.
constexpr uint32_t kMaxMbs = 16384 / 16;

// Tables 7-3 and 7-4, in zig-zag order; [0] intra, [1] inter.
constexpr uint8_t kDefault4x4[2][16] = {{6, 13, 13, 20, 20, 20, 28, 28, 28, 28, 32, 32, 32, 37, 37, 42},
                                        {10, 14, 14, 20, 20, 20, 24, 24, 24, 24, 27, 27, 27, 30, 30, 34}};
constexpr uint8_t kDefault8x8[2][64] = {
    {6,  10, 10, 13, 11, 13, 16, 16, 16, 16, 18, 18, 18, 18, 18, 23, 23, 23, 23, 23, 23, 25,
     25, 25, 25, 25, 25, 25, 27, 27, 27, 27, 27, 27, 27, 27, 29, 29, 29, 29, 29, 29, 29, 31,
     31, 31, 31, 31, 31, 33, 33, 33, 33, 33, 36, 36, 36, 36, 38, 38, 38, 40, 40, 42},
    {9,  13, 13, 15, 13, 15, 17, 17, 17, 17, 19, 19, 19, 19, 19, 21, 21, 21, 21, 21, 21, 22,
     22, 22, 22, 22, 22, 22, 24, 24, 24, 24, 24, 24, 24, 24, 25, 25, 25, 25, 25, 25, 25, 27,
     27, 27, 27, 27, 27, 28, 28, 28, 28, 28, 30, 30, 30, 30, 32, 32, 32, 33, 33, 35}};

void flatten(ScalingLists& lists) {
  for (auto& list : lists.list4x4) list.fill(16);
  for (auto& list : lists.list8x8) list.fill(16);
  lists.flat = true;
}

// Lists are coded and tabulated in zig-zag order, for field macroblocks too (8.5.6).
template <size_t N>
void from_zigzag(const uint8_t* coded, std::array<uint8_t, N>& list) {
  const uint8_t* scan = N == 16 ? kScan4x4[0] : kScan8x8[0];
  for (size_t i = 0; i < N; ++i) list[scan[i]] = coded[i];
}

// scaling_list(), 7.3.2.1.1.1; false: the default list is to be used.
template <size_t N>
bool parse_scaling_list(BitReader& bits, std::array<uint8_t, N>& list) {
  uint8_t coded[N];
  int last = 8, next = 8;
  for (size_t i = 0; i < N; ++i) {
    if (next != 0) {
      next = (last + se_within(bits, -128, 127, "delta_scale") + 256) % 256;
      if (i == 0 && next == 0) return false;
    }
    last = next == 0 ? last : next;
    coded[i] = uint8_t(last);
  }
  from_zigzag(coded, list);
  return true;
}

// The lists' part of either parameter set. A list that is not coded falls back on the one before it of its kind; the
// first of each kind on the sequence's (fall-back rule set B) or, if `sequence` is null, on the default list (A; Table
// 7-2). Lists from `count` on, 6 of 4x4 and then 8x8, are not in the syntax at all.
void parse_scaling_matrix(BitReader& bits, int count, const ScalingLists* sequence, ScalingLists& lists) {
  for (size_t i = 0; i < 6; ++i) {
    const size_t inter = i / 3;
    auto& list = lists.list4x4[i];
    if (bits.flag()) {
      if (!parse_scaling_list(bits, list)) from_zigzag(kDefault4x4[inter], list);
    } else if (i % 3 != 0) {
      list = lists.list4x4[i - 1];
    } else if (sequence) {
      list = sequence->list4x4[i];
    } else {
      from_zigzag(kDefault4x4[inter], list);
    }
  }
  for (size_t i = 0; i < 6; ++i) {
    const size_t inter = i % 2;
    auto& list = lists.list8x8[i];
    if (int(i) + 6 < count && bits.flag()) {
      if (!parse_scaling_list(bits, list)) from_zigzag(kDefault8x8[inter], list);
    } else if (i >= 2) {
      list = lists.list8x8[i - 2];
    } else if (sequence) {
      list = sequence->list8x8[i];
    } else {
      from_zigzag(kDefault8x8[inter], list);
    }
  }
  const auto flat = [](const auto& list) {
    return std::all_of(list.begin(), list.end(), [](uint8_t weight) { return weight == 16; });
  };
  lists.flat = std::all_of(lists.list4x4.begin(), lists.list4x4.end(), flat) &&
               std::all_of(lists.list8x8.begin(), lists.list8x8.end(), flat);
}

// Profiles whose sets have chroma_format_idc and what goes with it (7.3.2.1.1).
bool has_chroma_format(int profile_idc) {
  static constexpr uint8_t kProfiles[] = {100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135};
  return std::find(std::begin(kProfiles), std::end(kProfiles), profile_idc) != std::end(kProfiles);
}

void parse_poc_type(BitReader& bits, Sps& sps) {
  sps.poc_type = uint8_t(ue_at_most(bits, 2, "pic_order_cnt_type"));
  if (sps.poc_type == 0) {
    sps.log2_max_poc_lsb = uint8_t(4 + ue_at_most(bits, 12, "log2_max_pic_order_cnt_lsb_minus4"));
  } else if (sps.poc_type == 1) {
    sps.delta_pic_order_always_zero = bits.flag();
    sps.offset_for_non_ref_pic = bits.se();
    sps.offset_for_top_to_bottom_field = bits.se();
    sps.offset_for_ref_frame.resize(ue_at_most(bits, 255, "num_ref_frames_in_pic_order_cnt_cycle"));
    for (int32_t& offset : sps.offset_for_ref_frame) offset = bits.se();
  }
}

void parse_size(BitReader& bits, Sps& sps) {
  sps.width_mbs = uint16_t(1 + ue_at_most(bits, kMaxMbs - 1, "pic_width_in_mbs_minus1"));
  sps.height_map_units = uint16_t(1 + ue_at_most(bits, kMaxMbs - 1, "pic_height_in_map_units_minus1"));
  sps.frame_mbs_only = bits.flag();
  check_range("FrameHeightInMbs", sps.height_mbs(), 1, kMaxMbs);
  if (!sps.frame_mbs_only) sps.mb_adaptive_frame_field = bits.flag();
  sps.direct_8x8_inference = bits.flag();
  if (!sps.frame_mbs_only && !sps.direct_8x8_inference)
    throw StreamError("direct_8x8_inference_flag 0 where frame_mbs_only_flag is 0");
  if (!bits.flag()) return;
  // CropUnitX, CropUnitY (7-19 to 7-22).
  const int format = sps.chroma_array_type();
  const uint32_t unit_x = format == 1 || format == 2 ? 2 : 1;
  const uint32_t unit_y = (format == 1 ? 2 : 1) * (sps.frame_mbs_only ? 1 : 2);
  sps.crop_left = unit_x * ue_at_most(bits, 16 * kMaxMbs, "frame_crop_left_offset");
  sps.crop_right = unit_x * ue_at_most(bits, 16 * kMaxMbs, "frame_crop_right_offset");
  sps.crop_top = unit_y * ue_at_most(bits, 16 * kMaxMbs, "frame_crop_top_offset");
  sps.crop_bottom = unit_y * ue_at_most(bits, 16 * kMaxMbs, "frame_crop_bottom_offset");
  check_range("the width after cropping", sps.width(), 1, 16 * kMaxMbs);
  check_range("the height after cropping", sps.height(), 1, 16 * kMaxMbs);
}

// hrd_parameters(), E.1.2: only read over. False: it can't be followed further.
bool skip_hrd(BitReader& bits) {
  const uint32_t count = bits.ue() + 1;
  if (count == 0 || count > 32) return false;
  bits.skip(4 + 4);
  for (uint32_t i = 0; i < count; ++i) {
    bits.ue(), bits.ue();
    bits.skip(1);
  }
  bits.skip(4 * 5);
  return !bits.overrun();
}

// vui_parameters(), E.1.1. Nothing here is needed to parse pictures, and encoders get it wrong: what can't be read is
// left out.
void parse_vui(BitReader& bits, Sps& sps) {
  constexpr uint32_t kExtendedSar = 255;
  if (bits.flag() && bits.u(8) == kExtendedSar) bits.skip(16 + 16);
  if (bits.flag()) bits.skip(1);  // overscan
  if (bits.flag()) {              // video_signal_type
    bits.skip(3 + 1);
    if (bits.flag()) bits.skip(3 * 8);
  }
  if (bits.flag()) bits.ue(), bits.ue();  // chroma_loc_info
  if (bits.flag()) {
    const uint32_t ticks = bits.u(32), scale = bits.u(32);
    bits.skip(1);
    if (!bits.overrun() && ticks > 0 && scale > 0) {
      sps.has_timing = true;
      sps.num_units_in_tick = ticks;
      sps.time_scale = scale;
    }
  }
  const bool nal_hrd = bits.flag();
  if (nal_hrd && !skip_hrd(bits)) return;
  const bool vcl_hrd = bits.flag();
  if (vcl_hrd && !skip_hrd(bits)) return;
  bits.skip(nal_hrd || vcl_hrd ? 2 : 1);  // low_delay_hrd_flag, pic_struct_present_flag
  if (!bits.flag()) return;
  bits.skip(1);
  for (int i = 0; i < 4; ++i) bits.ue();
  const uint32_t reorder = bits.ue(), buffering = bits.ue();
  if (bits.overrun() || buffering > 16 || reorder > buffering) return;
  sps.bitstream_restriction = true;
  sps.max_num_reorder_frames = uint8_t(reorder);
  sps.max_dec_frame_buffering = uint8_t(buffering);
}

// Some encoders of the first profiles leave junk behind their picture parameter sets; FFmpeg passes over it by the
// same rule.
bool tail_is_junk(const Sps& sps) {
  const int profile = sps.profile_idc;
  return (profile == 66 || profile == 77 || profile == 88) && (sps.constraint_flags & 0xE0) != 0;
}

}  // namespace

Sps parse_sps(BitReader& bits) {
  Sps sps;
  flatten(sps.scaling);
  sps.profile_idc = uint8_t(bits.u(8));
  sps.constraint_flags = uint8_t(bits.u(8));
  sps.level_idc = uint8_t(bits.u(8));
  sps.id = uint8_t(ue_at_most(bits, 31, "seq_parameter_set_id"));
  if (has_chroma_format(sps.profile_idc)) {
    sps.chroma_format_idc = uint8_t(ue_at_most(bits, 3, "chroma_format_idc"));
    if (sps.chroma_format_idc == 3) sps.separate_colour_plane = bits.flag();
    sps.bit_depth_luma = uint8_t(8 + ue_at_most(bits, 6, "bit_depth_luma_minus8"));
    sps.bit_depth_chroma = uint8_t(8 + ue_at_most(bits, 6, "bit_depth_chroma_minus8"));
    sps.qpprime_y_zero_transform_bypass = bits.flag();
    sps.has_scaling_matrix = bits.flag();
    if (sps.has_scaling_matrix) parse_scaling_matrix(bits, sps.chroma_format_idc == 3 ? 12 : 8, nullptr, sps.scaling);
  }
  sps.log2_max_frame_num = uint8_t(4 + ue_at_most(bits, 12, "log2_max_frame_num_minus4"));
  parse_poc_type(bits, sps);
  sps.max_num_ref_frames = uint8_t(ue_at_most(bits, 16, "max_num_ref_frames"));
  sps.gaps_in_frame_num_allowed = bits.flag();
  parse_size(bits, sps);
  const bool vui = bits.flag();
  check_end(bits, "a sequence parameter set");
  if (vui) parse_vui(bits, sps);
  return sps;
}

Pps parse_pps(BitReader& bits, const std::array<std::shared_ptr<const Sps>, 32>& sets) {
  Pps pps;
  flatten(pps.scaling);
  pps.id = uint8_t(ue_at_most(bits, 255, "pic_parameter_set_id"));
  pps.sps_id = uint8_t(ue_at_most(bits, 31, "seq_parameter_set_id"));
  pps.cabac = bits.flag();
  pps.bottom_field_pic_order_in_frame_present = bits.flag();
  pps.num_slice_groups = uint8_t(1 + ue_at_most(bits, 7, "num_slice_groups_minus1"));
  check_end(bits, "a picture parameter set");
  if (pps.num_slice_groups > 1) throw Unsupported("flexible macroblock ordering (FMO)");
  pps.num_ref_idx_default[0] = uint8_t(1 + ue_at_most(bits, 31, "num_ref_idx_l0_default_active_minus1"));
  pps.num_ref_idx_default[1] = uint8_t(1 + ue_at_most(bits, 31, "num_ref_idx_l1_default_active_minus1"));
  pps.weighted_pred = bits.flag();
  pps.weighted_bipred_idc = uint8_t(check_range("weighted_bipred_idc", bits.u(2), 0, 2));
  // Down to -(26 + QpBdOffsetY); the slice checks the sum against the depth of its sequence.
  pps.pic_init_qp = int8_t(26 + se_within(bits, -62, 25, "pic_init_qp_minus26"));
  pps.pic_init_qs = int8_t(26 + se_within(bits, -26, 25, "pic_init_qs_minus26"));
  pps.chroma_qp_index_offset[0] = int8_t(se_within(bits, -12, 12, "chroma_qp_index_offset"));
  pps.chroma_qp_index_offset[1] = pps.chroma_qp_index_offset[0];
  pps.deblocking_filter_control_present = bits.flag();
  pps.constrained_intra_pred = bits.flag();
  pps.redundant_pic_cnt_present = bits.flag();
  check_end(bits, "a picture parameter set");
  pps.has_tail = bits.more_rbsp_data();
  if (pps.has_tail) {
    // Three flags and an offset; 12 flags; 6 * 16 and 6 * 64 deltas of at most 17 bits.
    constexpr size_t kLongest = (64 + 6 * (16 + 64) * 17) / 8;
    const size_t first = bits.position() / 8, bytes = std::min(bits.size_bits() / 8 - first, kLongest);
    pps.tail.assign(bits.data() + first, bits.data() + first + bytes);
    pps.tail.resize(bytes + kPadding);
    pps.tail_bit = bits.position() % 8;
  }
  if (const auto& sps = sets[pps.sps_id]) {
    try {
      complete_pps(pps, sps);
    } catch (const StreamError&) {
      // It may be meant for a sequence parameter set that follows; if not, the first slice that names it fails.
    }
  }
  return pps;
}

void complete_pps(Pps& pps, std::shared_ptr<const Sps> sps) {
  pps.transform_8x8_mode = false;
  pps.chroma_qp_index_offset[1] = pps.chroma_qp_index_offset[0];
  pps.scaling = sps->scaling;
  if (pps.has_tail && !tail_is_junk(*sps)) {
    BitReader bits(pps.tail.data(), pps.tail.size() - kPadding);
    bits.seek(pps.tail_bit);
    pps.transform_8x8_mode = bits.flag();
    if (bits.flag()) {
      const int count = 6 + (sps->chroma_format_idc == 3 ? 6 : 2) * pps.transform_8x8_mode;
      parse_scaling_matrix(bits, count, sps->has_scaling_matrix ? &sps->scaling : nullptr, pps.scaling);
    }
    pps.chroma_qp_index_offset[1] = int8_t(se_within(bits, -12, 12, "second_chroma_qp_index_offset"));
    check_end(bits, "a picture parameter set");
  }
  pps.activated = std::move(sps);
}

}  // namespace himmel::h264
