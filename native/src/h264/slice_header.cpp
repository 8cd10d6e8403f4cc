#include "h264/slice_header.hpp"

#include <string>

#include "common/checked_bits.hpp"

namespace himmel::h264 {

namespace {

// As many as any conforming header can have: each of 32 fields named twice, and some more.
constexpr size_t kMaxCommands = 66;

constexpr uint32_t kMaxRefIdx = 32;

// The picture parameter set that the slice names, completed from its sequence parameter set.
void activate(SliceHeader& header, uint32_t id, const std::array<std::shared_ptr<const Sps>, 32>& sps,
              std::array<std::shared_ptr<const Pps>, 256>& pps) {
  std::shared_ptr<const Pps>& set = pps[id];
  if (!set) throw StreamError("picture parameter set " + std::to_string(id) + " is missing");
  header.sps = sps[set->sps_id];
  if (!header.sps) throw StreamError("sequence parameter set " + std::to_string(set->sps_id) + " is missing");
  if (set->activated != header.sps) {
    auto completed = std::make_shared<Pps>(*set);
    complete_pps(*completed, header.sps);
    set = std::move(completed);
  }
  header.pps = set;
}

void parse_structure(BitReader& bits, SliceHeader& header) {
  const Sps& sps = *header.sps;
  if (!sps.frame_mbs_only && bits.flag()) header.structure = bits.flag() ? kBottom : kTop;
  header.mbaff = sps.mb_adaptive_frame_field && header.structure == kFrame;
  const int64_t last = int64_t(sps.width_mbs) * header.height_mbs() / (1 + header.mbaff) - 1;
  check_range("first_mb_in_slice", header.first_mb, 0, last);
}

void parse_picture_order(BitReader& bits, SliceHeader& header) {
  const Sps& sps = *header.sps;
  const bool both = header.pps->bottom_field_pic_order_in_frame_present && header.structure == kFrame;
  if (sps.poc_type == 0) {
    header.poc_lsb = bits.u(sps.log2_max_poc_lsb);
    if (both) header.delta_poc_bottom = bits.se();
  } else if (sps.poc_type == 1 && !sps.delta_pic_order_always_zero) {
    header.delta_poc[0] = bits.se();
    if (both) header.delta_poc[1] = bits.se();
  }
}

void parse_num_ref_idx(BitReader& bits, SliceHeader& header) {
  static constexpr const char* kNames[2] = {"num_ref_idx_l0_active_minus1", "num_ref_idx_l1_active_minus1"};
  const int lists = header.is_intra() ? 0 : header.is_b() ? 2 : 1;
  if (lists == 0) return;
  const bool sent = bits.flag();
  // Frames may not have more than 16 (7.4.3). More do no harm but in MBAFF, whose field macroblocks have twice as
  // many.
  const uint32_t most = header.mbaff ? kMaxRefIdx / 2 : kMaxRefIdx;
  for (int list = 0; list < lists; ++list) {
    const uint32_t count = sent ? 1 + ue_at_most(bits, most - 1, kNames[list]) : header.pps->num_ref_idx_default[list];
    header.num_ref_idx[list] = uint8_t(check_range("num_ref_idx_active", count, 1, most));
  }
}

// ref_pic_list_modification(), 7.3.3.1.
void parse_modifications(BitReader& bits, SliceHeader& header) {
  const uint32_t max_pic_num = 1U << (header.sps->log2_max_frame_num + (header.structure != kFrame));
  for (int list = 0; list < 2; ++list) {
    if (header.num_ref_idx[list] == 0 || !bits.flag()) continue;
    for (;;) {
      const uint32_t idc = ue_at_most(bits, 3, "modification_of_pic_nums_idc");
      if (idc == 3) break;
      if (header.modifications[list].size() == kMaxCommands || bits.overrun())
        throw StreamError("ref_pic_list_modification() does not end");
      const uint32_t value = idc == 2 ? bits.ue() : ue_at_most(bits, max_pic_num - 1, "abs_diff_pic_num_minus1");
      header.modifications[list].push_back({uint8_t(idc), value});
    }
  }
}

// pred_weight_table(), 7.3.3.2.
void parse_weights(BitReader& bits, SliceHeader& header) {
  auto weights = std::make_shared<PredWeights>();
  const bool chroma = header.sps->chroma_array_type() != 0;
  weights->luma_log2_denom = uint8_t(ue_at_most(bits, 7, "luma_log2_weight_denom"));
  if (chroma) weights->chroma_log2_denom = uint8_t(ue_at_most(bits, 7, "chroma_log2_weight_denom"));
  const auto inferred_luma = int16_t(1 << weights->luma_log2_denom);
  const auto inferred_chroma = int16_t(1 << weights->chroma_log2_denom);
  for (size_t list = 0; list < 2; ++list) {
    for (size_t i = 0; i < header.num_ref_idx[list]; ++i) {
      PredWeights::Entry& entry = weights->entry[list][i];
      entry.luma_weight = inferred_luma;
      entry.chroma_weight[0] = entry.chroma_weight[1] = inferred_chroma;
      if (bits.flag()) {
        entry.luma_weight = int16_t(se_within(bits, -128, 127, "luma_weight"));
        entry.luma_offset = int16_t(se_within(bits, -128, 127, "luma_offset"));
      }
      if (!chroma || !bits.flag()) continue;
      for (int plane = 0; plane < 2; ++plane) {
        entry.chroma_weight[plane] = int16_t(se_within(bits, -128, 127, "chroma_weight"));
        entry.chroma_offset[plane] = int16_t(se_within(bits, -128, 127, "chroma_offset"));
      }
    }
  }
  header.weights = std::move(weights);
}

// dec_ref_pic_marking(), 7.3.3.3.
void parse_marking(BitReader& bits, SliceHeader& header) {
  if (header.idr) {
    header.no_output_of_prior_pics = bits.flag();
    header.long_term_reference = bits.flag();
    return;
  }
  header.adaptive_marking = bits.flag();
  if (!header.adaptive_marking) return;
  for (;;) {
    MemoryOperation operation{uint8_t(ue_at_most(bits, 6, "memory_management_control_operation"))};
    if (operation.op == 0) break;
    if (header.operations.size() == kMaxCommands || bits.overrun())
      throw StreamError("dec_ref_pic_marking() does not end");
    if (operation.op == 1 || operation.op == 3) operation.difference_of_pic_nums_minus1 = bits.ue();
    if (operation.op == 2) operation.long_term_pic_num = bits.ue();
    if (operation.op == 3 || operation.op == 6) operation.long_term_frame_idx = bits.ue();
    if (operation.op == 4) operation.max_long_term_frame_idx_plus1 = bits.ue();
    header.operations.push_back(operation);
  }
}

void parse_deblocking(BitReader& bits, SliceHeader& header) {
  header.disable_deblocking_filter_idc = uint8_t(ue_at_most(bits, 2, "disable_deblocking_filter_idc"));
  if (header.disable_deblocking_filter_idc == 1) return;
  se_within(bits, -6, 6, "slice_alpha_c0_offset_div2");
  se_within(bits, -6, 6, "slice_beta_offset_div2");
}

}  // namespace

SliceHeader parse_slice_header(BitReader& bits, NalHeader nal, const std::array<std::shared_ptr<const Sps>, 32>& sps,
                               std::array<std::shared_ptr<const Pps>, 256>& pps) {
  if (nal.type >= 2 && nal.type <= 4) throw Unsupported("data partitioning");
  SliceHeader header;
  header.nal = nal;
  header.idr = nal.type == 5;
  header.first_mb = bits.ue();
  header.type = SliceType(ue_at_most(bits, 9, "slice_type") % 5);
  activate(header, ue_at_most(bits, 255, "pic_parameter_set_id"), sps, pps);
  check_end(bits, "a slice header");
  if (header.type == SliceType::SP || header.type == SliceType::SI) throw Unsupported("SP and SI slices");
  if (header.idr && !header.is_intra()) throw StreamError("a P or B slice in an IDR picture");
  const Sps& sequence = *header.sps;
  const Pps& picture = *header.pps;
  if (sequence.separate_colour_plane) header.colour_plane = uint8_t(check_range("colour_plane_id", bits.u(2), 0, 2));
  header.frame_num = bits.u(sequence.log2_max_frame_num);
  parse_structure(bits, header);
  if (header.idr) header.idr_pic_id = ue_at_most(bits, 65535, "idr_pic_id");
  parse_picture_order(bits, header);
  if (picture.redundant_pic_cnt_present) {
    header.redundant_pic_cnt = ue_at_most(bits, 127, "redundant_pic_cnt");
    check_end(bits, "a slice header");
    if (header.redundant_pic_cnt > 0) throw Unsupported("redundant slices");
  }
  if (header.is_b()) header.direct_spatial = bits.flag();
  parse_num_ref_idx(bits, header);
  parse_modifications(bits, header);
  if ((picture.weighted_pred && header.type == SliceType::P) || (picture.weighted_bipred_idc == 1 && header.is_b()))
    parse_weights(bits, header);
  if (nal.ref_idc != 0) parse_marking(bits, header);
  if (picture.cabac && !header.is_intra()) header.cabac_init_idc = uint8_t(ue_at_most(bits, 2, "cabac_init_idc"));
  const int64_t qp = int64_t(picture.pic_init_qp) + bits.se();
  header.qp = int8_t(check_range("SliceQPY", qp, -6 * (sequence.bit_depth_luma - 8), 51));
  if (picture.deblocking_filter_control_present) parse_deblocking(bits, header);
  check_end(bits, "a slice header");
  header.data_bit = bits.position();
  return header;
}

bool starts_new_picture(const SliceHeader& previous, const SliceHeader& next) {
  // Picture orders that a pic_order_cnt_type does not code are 0 in all headers, so that no type has to be told apart.
  return previous.frame_num != next.frame_num || previous.pps->id != next.pps->id || previous.sps != next.sps ||
         previous.structure != next.structure || (previous.nal.ref_idc == 0) != (next.nal.ref_idc == 0) ||
         previous.poc_lsb != next.poc_lsb || previous.delta_poc_bottom != next.delta_poc_bottom ||
         previous.delta_poc[0] != next.delta_poc[0] || previous.delta_poc[1] != next.delta_poc[1] ||
         previous.idr != next.idr || previous.idr_pic_id != next.idr_pic_id;
}

}  // namespace himmel::h264
