// Picture order count (8.2.1), reference lists (8.2.4) and reference marking (8.2.5): from slice headers alone.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "common/references.hpp"
#include "h264/slice_header.hpp"

namespace himmel::h264 {

struct Picture;  // parsed motion of a frame; this stage only passes it on

// The marking state of the decoded picture buffer. No samples, no output order: who shows pictures is not asked.
class ReferenceBuffer {
 public:
  struct Started {
    int32_t frame = -1;             // serial number of the frame that the picture belongs to
    bool second_field = false;      // it completes the frame of the picture before (7.4.1.2.4, 3.30)
    int32_t poc_field[2] = {0, 0};  // of the fields decoded so far; a field picture sets its own only
    int32_t poc = 0;                // PicOrderCnt(CurrPic)
    bool gap = false;               // frame_num jumped where the sequence does not allow it: pictures were lost
  };

  // Start a coded picture with the header of its first slice: infer frames for gaps in frame_num (8.2.5.2), compute
  // the picture order count, find out whether it is a second field. `payload` belongs to the frame (for a second field
  // it is ignored, payload() of the first one stays). After end() or for the first picture only. Frames get serials
  // from 0 on; inferred ones are told apart by serials from -2 downwards.
  Started begin(const SliceHeader& first, int64_t number, double position, std::shared_ptr<Picture> payload);

  // RefPicList0 and RefPicList1 of a slice of the current picture (8.2.4): initialisation for frames and fields, P and
  // B, short- and long-term, the swap of equal lists, modification. Entries that name nothing are `missing`. For an
  // MBAFF frame: lists of frames (fields are taken apart by the macroblock layer, 8.4.2.1).
  SliceRefs lists(const SliceHeader& slice) const;

  // Marking after the picture (8.2.5): IDR, sliding window, memory management; a second field joins its first.
  void end();

  // What begin() got for a frame that is still held (as a reference, or the current one), else null.
  std::shared_ptr<Picture> payload(int32_t frame) const;

  // Forget all frames, as before an IDR picture: reading goes on somewhere else in the file.
  void reset();

 private:
  static constexpr int kMaxReferences = 16;           // A.3.1: max_num_ref_frames
  static constexpr int kFrames = kMaxReferences + 1;  // and the current frame

  // What is known of the place of a frame in output order.
  enum class Order : uint8_t {
    kKnown,
    kNone,    // non-existing with pic_order_cnt_type 0: stays out of the lists of B slices (8.2.4.2.3)
    kEarlier  // from before the place where reading began: taken to precede all others
  };

  struct Frame {
    bool held = false;
    bool missing = false;
    bool idr = false;        // its first picture is one
    bool reference = false;  // its first picture has nal_ref_idc != 0, even if its marking changed
    Order order = Order::kKnown;
    uint8_t decoded = 0;  // which fields, as bits of Structure; of the current picture after end() only
    uint8_t short_term = 0, long_term = 0;  // marking, as bits of Structure; no bit is in both
    uint8_t long_term_frame_idx = 0;
    uint32_t frame_num = 0;
    int32_t poc[2] = {0, 0};
    int32_t serial = -1;
    int64_t number = -1;
    double position = 0;
    std::shared_ptr<Picture> payload;

    int32_t pic_order_cnt() const;
  };

  // A frame or field of the buffer; slot -1: none.
  struct Part {
    int8_t slot = -1;
    uint8_t structure = 0;
    bool operator==(const Part&) const = default;
  };
  struct FrameOrder;
  struct PartList;

  // The current coded picture, as far as end() and lists() need it.
  struct Coded {
    Structure structure = kFrame;
    bool reference = false, idr = false, long_term_reference = false, adaptive_marking = false, second_field = false;
    uint32_t frame_num = 0;
    int32_t poc = 0;
    int32_t poc_msb = 0, poc_lsb = 0;  // pic_order_cnt_type 0
    uint32_t frame_num_offset = 0;     // types 1 and 2
    std::vector<MemoryOperation> operations;
  };

  // references.cpp
  bool completes_frame(const SliceHeader& first) const;
  void picture_order(const SliceHeader& first, int32_t poc[2]);
  int32_t order_of_frame_num(const Sps& sps, uint32_t frame_num, bool reference, bool idr, uint32_t offset) const;
  uint32_t frame_num_offset(uint32_t frame_num) const;
  bool fill_gap(const SliceHeader& first, const int32_t poc[2]);
  int32_t guess_order(bool is_b, int64_t current, int64_t step, int64_t steps) const;
  void infer_frame(uint32_t frame_num, Order order, int32_t poc);

  // reference_lists.cpp
  void order_short_term_p(FrameOrder& order) const;
  void order_short_term_b(FrameOrder& order, bool list1) const;
  void append_initial(PartList& list, const FrameOrder& order, bool long_term) const;
  void modify(PartList& list, int active, const std::vector<ListModification>& modifications) const;
  RefEntry entry(const Part& part) const;
  bool usable(uint8_t marked) const;
  int32_t curr_pic_num() const;
  int32_t frame_num_wrap(const Frame& frame, uint32_t current) const;
  Part find_short_term(int64_t pic_num) const;
  Part find_long_term(int64_t long_term_pic_num) const;

  // reference_marking.cpp
  int free_slot() const;
  int references() const;
  bool slide_window(uint32_t frame_num, int except);
  void make_long_term(const Part& part, uint32_t long_term_frame_idx);
  void mark_idr();
  void mark_sliding_window();
  bool mark_adaptive();
  void clear_operation_5();
  void bound_references();
  void release_unused(int except);

  std::array<Frame, kFrames> frames_;
  Coded coded_;
  int current_ = -1;  // slot of the current frame; between pictures: of a first field that awaits its second
  bool in_picture_ = false;
  bool begun_ = false;  // a picture has been seen since reset()
  int capacity_ = 1;    // Max(max_num_ref_frames, 1)
  uint32_t max_frame_num_ = 16;
  uint32_t prev_frame_num_ = 0, prev_frame_num_offset_ = 0, prev_ref_frame_num_ = 0;
  int64_t prev_poc_msb_ = 0, prev_poc_lsb_ = 0;
  int32_t next_serial_ = 0;
  int32_t next_missing_serial_ = -2;  // inferred frames are told apart too (8.4.1.2.3 looks references up by identity)
};

}  // namespace himmel::h264
