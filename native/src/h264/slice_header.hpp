// Slice headers (7.3.3).
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "common/bit_reader.hpp"
#include "common/references.hpp"
#include "h264/parameter_sets.hpp"

namespace himmel::h264 {

// slice_type modulo 5 (Table 7-6).
enum class SliceType : uint8_t { P = 0, B = 1, I = 2, SP = 3, SI = 4 };

// Callers hand over nal_unit_type 1 and 5 and pass by 20 and 21, which extend a picture for SVC, MVC and depth (Table
// 7-1): the base layer or view is in the others.
struct NalHeader {
  uint8_t ref_idc = 0;  // nal_ref_idc
  uint8_t type = 0;     // nal_unit_type
};

// modification_of_pic_nums_idc with its operand (7.3.3.1), terminator left out.
struct ListModification {
  uint8_t idc;
  uint32_t value;  // abs_diff_pic_num_minus1 or long_term_pic_num
};

// memory_management_control_operation with its operands (7.3.3.3), terminator left out.
struct MemoryOperation {
  uint8_t op;
  uint32_t difference_of_pic_nums_minus1 = 0, long_term_pic_num = 0, long_term_frame_idx = 0,
           max_long_term_frame_idx_plus1 = 0;
};

// Explicit weights (7.3.3.2), with the inferred values filled in for the active entries: weight 1 << log2_denom,
// offset 0. Offsets are as coded, in units of 1 << (bit depth - 8).
struct PredWeights {
  uint8_t luma_log2_denom = 0, chroma_log2_denom = 0;
  struct Entry {
    int16_t luma_weight = 1, luma_offset = 0, chroma_weight[2] = {1, 1}, chroma_offset[2] = {0, 0};
  };
  std::array<std::array<Entry, 32>, 2> entry;
};

struct SliceHeader {
  NalHeader nal;
  std::shared_ptr<const Sps> sps;
  std::shared_ptr<const Pps> pps;
  uint32_t first_mb = 0;  // first_mb_in_slice, not yet doubled for MBAFF
  SliceType type = SliceType::I;
  uint8_t colour_plane = 0;
  uint32_t frame_num = 0;
  Structure structure = kFrame;
  bool mbaff = false;  // MbaffFrameFlag
  bool idr = false;
  uint32_t idr_pic_id = 0;
  uint32_t poc_lsb = 0;
  int32_t delta_poc_bottom = 0;
  int32_t delta_poc[2] = {0, 0};
  uint32_t redundant_pic_cnt = 0;
  bool direct_spatial = true;
  uint8_t num_ref_idx[2] = {0, 0};                 // active; 0 where the slice type has no such list; at most 32
  std::vector<ListModification> modifications[2];  // bounded: at most 66 each
  std::shared_ptr<const PredWeights> weights;      // null without pred_weight_table()
  bool no_output_of_prior_pics = false, long_term_reference = false;  // IDR
  bool adaptive_marking = false;
  std::vector<MemoryOperation> operations;  // bounded: at most 66
  uint8_t cabac_init_idc = 0;
  int8_t qp = 26;  // SliceQPY
  uint8_t disable_deblocking_filter_idc = 0;
  size_t data_bit = 0;  // where slice_data() begins, in bits of the RBSP that follows the NAL header byte

  bool is_b() const { return type == SliceType::B; }
  bool is_intra() const { return type == SliceType::I || type == SliceType::SI; }
  int height_mbs() const { return sps->height_mbs() >> (structure != kFrame); }  // PicHeightInMbs
};

// Parse one header; `bits` is after the NAL header byte. Throws StreamError or Unsupported (SP/SI switching,
// data partitioning, redundant slices, ...). If the slice's picture parameter set has not been completed from the
// sequence parameter set that is in force now, a completed copy takes its place in `pps`.
SliceHeader parse_slice_header(BitReader& bits, NalHeader nal, const std::array<std::shared_ptr<const Sps>, 32>& sps,
                               std::array<std::shared_ptr<const Pps>, 256>& pps);

// 7.4.1.2.4: whether `next` is the first slice of a primary coded picture, given the slice before it.
bool starts_new_picture(const SliceHeader& previous, const SliceHeader& next);

}  // namespace himmel::h264
