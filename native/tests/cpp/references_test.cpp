// Picture order count, reference lists and marking against examples worked out by hand from clause 8.2 of ITU-T H.264.
#include <cstdio>
#include <initializer_list>
#include <memory>
#include <string>

#include "h264/references.hpp"

using namespace himmel;
using namespace himmel::h264;

namespace {

int failures = 0;

void same(const char* what, const std::string& got, const std::string& expected) {
  if (got == expected) return;
  std::printf("%s: got [%s], expected [%s]\n", what, got.c_str(), expected.c_str());
  ++failures;
}

void same(const char* what, int64_t got, int64_t expected) {
  same(what, std::to_string(got), std::to_string(expected));
}

// "0 3t 1L x ?": caller's numbers; t and b fields, L long-term; x an inferred frame, ? nothing.
std::string text(const SliceRefs& refs, int x) {
  std::string out;
  for (int i = 0; i < refs.count[x]; ++i) {
    const RefEntry& entry = refs.list[x][i];
    if (i > 0) out += ' ';
    if (entry.frame == -1) {
      out += entry.missing ? "?" : "not missing";
      continue;
    }
    out += entry.missing ? "x" : std::to_string(entry.number);
    if (entry.structure != kFrame) out += entry.structure == kTop ? "t" : "b";
    if (entry.long_term) out += "L";
  }
  return out;
}

struct Coder {
  std::shared_ptr<Sps> sps = std::make_shared<Sps>();
  ReferenceBuffer buffer;
  SliceHeader header;
  ReferenceBuffer::Started started;
  int64_t number = 0;

  explicit Coder(int references) {
    sps->max_num_ref_frames = uint8_t(references);
    sps->frame_mbs_only = false;
    sps->log2_max_poc_lsb = 8;
    header.sps = sps;
  }

  // A header for the next picture; POC type 0, 4 bits of frame_num and 8 of pic_order_cnt_lsb unless `sps` is changed.
  Coder& next(SliceType type, uint32_t frame_num, int lsb, Structure structure = kFrame) {
    header = SliceHeader();
    header.sps = sps;
    header.type = type;
    header.nal = {uint8_t(1), uint8_t(1)};
    header.frame_num = frame_num;
    header.poc_lsb = uint32_t(lsb);
    header.structure = structure;
    return *this;
  }
  Coder& idr(Structure structure = kFrame) {
    next(SliceType::I, 0, 0, structure);
    header.idr = true;
    header.nal.type = 5;
    return *this;
  }
  Coder& disposable() {
    header.nal.ref_idc = 0;
    return *this;
  }
  Coder& bottom(int delta) {
    header.delta_poc_bottom = delta;
    return *this;
  }
  Coder& active(int list0, int list1 = 0) {
    header.num_ref_idx[0] = uint8_t(list0);
    header.num_ref_idx[1] = uint8_t(list1);
    return *this;
  }
  Coder& modify(int list, std::initializer_list<ListModification> modifications) {
    header.modifications[list] = modifications;
    return *this;
  }
  Coder& mark(std::initializer_list<MemoryOperation> operations) {
    header.adaptive_marking = true;
    header.operations = operations;
    return *this;
  }
  ReferenceBuffer::Started begin() {
    started = buffer.begin(header, number, double(number), nullptr);
    if (!started.second_field) ++number;
    return started;
  }
  // The whole picture; gives its POC.
  int32_t code() {
    begin();
    buffer.end();
    return started.poc;
  }
  std::string list(int x = 0) const { return text(buffer.lists(header), x); }
  // What a P picture would see now, without being coded: tried on a copy.
  std::string seen(uint32_t frame_num, int count, Structure structure = kFrame) const {
    Coder copy = *this;
    copy.next(SliceType::P, frame_num, 0, structure).active(count).begin();
    return copy.list();
  }
};

MemoryOperation forget(uint32_t difference) { return {.op = 1, .difference_of_pic_nums_minus1 = difference - 1}; }
MemoryOperation forget_long(uint32_t number) { return {.op = 2, .long_term_pic_num = number}; }
MemoryOperation make_long(uint32_t difference, uint32_t index) {
  return {.op = 3, .difference_of_pic_nums_minus1 = difference - 1, .long_term_frame_idx = index};
}
MemoryOperation limit_long(uint32_t plus1) { return {.op = 4, .max_long_term_frame_idx_plus1 = plus1}; }
MemoryOperation forget_all() { return {.op = 5}; }
MemoryOperation current_long(uint32_t index) { return {.op = 6, .long_term_frame_idx = index}; }

constexpr SliceType I = SliceType::I, P = SliceType::P, B = SliceType::B;

void order_type_0() {
  Coder c(2);
  c.sps->log2_max_poc_lsb = 4;
  same("IDR", c.idr().bottom(1).code(), 0);
  same("bottom", c.started.poc_field[1], 1);
  same("ahead", c.next(P, 1, 6).code(), 6);
  same("half way counts as ahead", c.next(P, 2, 14).bottom(-1).code(), 13);
  same("lsb wraps", c.next(P, 3, 4).code(), 20);
  same("back over the wrap", c.next(B, 4, 15).disposable().code(), 15);
  same("others than references do not move it", c.next(P, 4, 10).code(), 26);

  // Operation 5: the picture becomes the origin; the next ones count from it.
  Coder d(2);
  d.idr().code();
  d.next(P, 1, 100).bottom(-3).mark({forget_all()}).code();
  same("before operation 5", d.started.poc, 97);
  d.next(B, 1, 5).active(1, 1).disposable().begin();
  same("after operation 5: from the top field's 3", d.started.poc, 5);
  same("tempPicOrderCnt is taken off", d.buffer.lists(d.header).list[0][0].poc_field[0], 3);
  same("tempPicOrderCnt is taken off", d.buffer.lists(d.header).list[0][0].poc_field[1], 0);
  d.buffer.end();
  same("the order of lists", d.next(P, 1, 9).active(2).begin().gap, 0);
  same("operation 5 leaves one", d.list(), "1 ?");

  Coder e(2);
  e.sps->log2_max_poc_lsb = 4;
  e.idr(kTop).code();
  e.next(P, 0, 1, kBottom).code();
  e.next(P, 1, 8, kBottom).mark({forget_all()}).code();
  same("after a bottom field with operation 5 lsb counts from 0", e.next(P, 0, 9, kTop).code(), 9 - 16);
  same("it pairs with frame_num 0", e.started.second_field, 1);
}

void order_types_1_2() {
  Coder c(4);
  c.sps->poc_type = 1;
  c.sps->offset_for_ref_frame = {2, 6};
  c.sps->offset_for_non_ref_pic = -3;
  c.sps->offset_for_top_to_bottom_field = 1;
  same("IDR", c.idr().code(), 0);
  same("first of the cycle", c.next(P, 1, 0).code(), 2);
  same("second of the cycle", c.next(P, 2, 0).code(), 8);
  same("bottom", c.started.poc_field[1], 9);
  same("not a reference", c.next(B, 3, 0).disposable().code(), 8 - 3);
  c.next(P, 3, 0);
  c.header.delta_poc[0] = 5;
  c.header.delta_poc[1] = -8;
  same("deltas", c.code(), 10 + 5 + 1 - 8);
  same("gap over the wrap of frame_num", c.next(P, 2, 0).code(), (16 + 2) / 2 * 8);
  same("gap", c.started.gap, 1);
  same("fields", c.next(P, 3, 0, kTop).code(), 9 * 8 + 2);
  same("fields", c.next(P, 3, 0, kBottom).code(), 9 * 8 + 2 + 1);

  Coder d(2);
  d.sps->poc_type = 2;
  d.idr().code();
  same("type 2", d.next(P, 1, 0).code(), 2);
  same("type 2, not a reference", d.next(P, 2, 0).disposable().code(), 3);
  for (uint32_t i = 2; i < 40; ++i) same("type 2, wraps", d.next(P, i % 16, 0).code(), 2 * i);
  d.next(P, 40 % 16, 0).mark({forget_all()}).code();
  same("type 2 after operation 5", d.next(P, 1, 0).code(), 2);
}

void p_frames() {
  Coder c(4);
  c.idr().code();
  for (uint32_t i = 1; i < 18; ++i) c.next(P, i % 16, int(2 * i)).code();
  c.next(P, 2, 36).active(6).begin();
  same("descending PicNum over the wrap, absent entries", c.list(), "17 16 15 14 ? ?");
  c.active(2);
  same("cut", c.list(), "17 16");
  // CurrPicNum 2: minus 4 is frame_num 14, then plus 3 frame_num 1. Plus 12 comes to frame_num 14 as well.
  c.active(4).modify(0, {{0, 3}, {1, 2}});
  same("modification", c.list(), "14 17 16 15");
  c.modify(0, {{1, 11}});
  same("forward over MaxPicNum", c.list(), "14 17 16 15");
  c.modify(0, {{0, 1}, {1, 0}, {0, 0}});
  same("a picture twice", c.list(), "16 17 16 15");
  c.modify(0, {{0, 7}});
  same("names nothing", c.list(), "? 17 16 15");
  c.modify(0, {{0, 0xFFFFFFFFu}, {3, 1}, {2, 7}});
  same("nonsense", c.list(), "? 17 16 15");

  Coder d(4);
  d.idr().code();
  d.next(P, 1, 2).code();
  d.next(P, 2, 4).mark({limit_long(3), make_long(1, 2), make_long(2, 0)}).code();
  d.next(P, 3, 6).code();
  d.next(P, 4, 8).active(4).begin();
  same("long-term frames last, by index", d.list(), "3 2 0L 1L");
  d.modify(0, {{2, 2}, {0, 1}});
  same("long-term modification", d.list(), "1L 2 3 0L");
}

void b_frames() {
  Coder c(4);
  c.idr().code();
  c.next(P, 1, 16).code();
  c.next(B, 2, 8).code();
  c.next(B, 3, 4).active(3, 3).disposable().begin();
  same("list 0", c.list(0), "0 2 1");
  same("list 1", c.list(1), "2 1 0");
  c.buffer.end();
  c.next(B, 3, 12).active(3, 2).begin();
  same("list 0", c.list(0), "2 0 1");
  same("list 1", c.list(1), "1 2");
  c.buffer.end();
  c.next(B, 4, 20).active(1, 1).disposable().begin();
  same("all past", c.list(0), "1");
  same("equal lists are swapped before they are cut", c.list(1), "4");

  Coder d(2);
  d.idr().code();
  d.next(B, 1, 2).active(2, 2).begin();
  same("one entry is not swapped", d.list(1), "0 ?");
}

void p_fields() {
  Coder c(3);
  c.idr(kTop).code();
  c.next(P, 0, 1, kBottom).active(2).begin();
  same("second field", c.started.second_field, 1);
  same("the same frame", c.started.frame, 0);
  same("POC of the first", c.started.poc_field[0], 0);
  same("first field of the frame", c.list(), "0t ?");
  c.buffer.end();
  for (uint32_t i = 1; i < 4; ++i) {
    c.next(P, i, int(4 * i), kTop).code();
    c.next(P, i, int(4 * i + 1), kBottom).code();
  }
  // Three frames; the first field of the fourth slides one out, its second field none.
  c.next(P, 4, 16, kBottom).active(8).begin();
  same("parities alternate", c.list(), "3b 3t 2b 2t 1b 1t ? ?");
  c.buffer.end();
  c.next(P, 4, 17, kTop).active(8).begin();
  same("second field", c.list(), "3t 4b 2t 3b 2b ? ? ?");
  // CurrPicNum 9: 8 is the bottom field of frame_num 4, 7 the top field of 3, 4 the bottom field of 2.
  c.active(4).modify(0, {{0, 0}, {0, 0}, {0, 2}});
  same("modification of fields", c.list(), "4b 3t 2b 2t");
  c.buffer.end();
  same("field pairs slide once", c.seen(5, 4), "4 3 2 ?");

  // Fields of one parity forgotten: 9 - 6 is the top field of frame_num 1, 9 - 4 of 2.
  Coder d(5);
  d.idr(kTop).code();
  d.next(P, 0, 1, kBottom).code();
  for (uint32_t i = 1; i < 4; ++i) {
    d.next(P, i, int(4 * i), kTop).code();
    d.next(P, i, int(4 * i + 1), kBottom).code();
  }
  d.next(P, 4, 16, kTop).mark({forget(6), forget(4), forget(9)}).code();
  same("bottom fields run on", d.seen(4, 8, kBottom), "3b 4t 2b 3t 1b 0t ? ?");
  same("frames need both fields", d.seen(5, 4), "3 ? ? ?");
}

void b_fields() {
  Coder c(4);
  c.idr(kTop).code();
  c.next(P, 0, 1, kBottom).code();
  c.next(P, 1, 8, kTop).code();
  c.next(P, 1, 9, kBottom).code();
  c.next(B, 2, 4, kTop).active(4, 4).begin();
  same("list 0", c.list(0), "0t 0b 1t 1b");
  same("list 1", c.list(1), "1t 1b 0t 0b");
  c.buffer.end();
  c.next(B, 2, 5, kBottom).active(5, 5).begin();
  same("list 0 with the first field", c.list(0), "0b 2t 1b 0t 1t");
  same("list 1 with the first field", c.list(1), "1b 1t 0b 2t 0t");
}

void marking() {
  Coder c(3);
  c.idr().code();
  c.next(P, 1, 2).code();
  c.next(P, 2, 4).mark({make_long(2, 1), limit_long(2)}).code();
  same("long-term", c.seen(3, 3), "2 1 0L");
  c.next(P, 3, 6).code();
  same("the window slides over short-term frames", c.seen(4, 3), "3 2 0L");
  c.next(P, 4, 8).mark({current_long(1)}).code();
  same("an index has one frame", c.seen(5, 4), "3 2 4L ?");
  c.next(P, 5, 10).mark({forget_long(1), forget(3)}).code();
  same("both kinds forgotten", c.seen(6, 4), "5 3 ? ?");
  c.next(P, 6, 12).mark({current_long(0)}).code();
  c.next(P, 7, 14).mark({limit_long(0), forget(9)}).code();
  same("no long-term indices", c.seen(8, 4), "7 5 3 ?");
  c.next(P, 8, 16).mark({current_long(2), forget_all(), current_long(0)}).code();
  same("operation 5 and 6", c.seen(1, 3), "8L ? ?");
  c.idr();
  c.header.long_term_reference = true;
  c.code();
  same("IDR long-term", c.seen(1, 2), "9L ?");
  c.next(P, 1, 2).mark({}).code();
  c.next(P, 2, 4).mark({}).code();
  c.next(P, 3, 6).mark({}).code();
  same("never more than the sequence says", c.seen(4, 4), "12 11 9L ?");

  // A field pair becomes long-term field by field: from a field of frame_num 2, CurrPicNum 5, the field of the same
  // parity of frame_num 1 is 3.
  Coder d(4);
  d.idr(kTop).code();
  d.next(P, 0, 1, kBottom).code();
  d.next(P, 1, 4, kTop).code();
  d.next(P, 1, 5, kBottom).code();
  d.next(P, 2, 8, kTop).mark({make_long(2, 0)}).code();
  same("one field long-term", d.seen(2, 5, kBottom), "1b 2t 0b 0t 1tL");
  same("such a frame is neither", d.seen(3, 3), "0 ? ?");
  d.next(P, 2, 9, kBottom).mark({make_long(2, 0)}).code();
  same("both", d.seen(3, 3), "2 0 1L");
  d.next(P, 3, 12, kTop).mark({forget_long(0), current_long(2)}).code();
  same("fields", d.seen(3, 6, kBottom), "2b 2t 0b 0t 1tL 3tL");
  d.next(P, 3, 13, kBottom).mark({forget(2), current_long(2)}).code();
  same("second field long-term", d.seen(4, 4), "0 3L ? ?");
}

void gaps() {
  Coder c(3);
  c.sps->gaps_in_frame_num_allowed = true;
  c.idr().code();
  c.next(P, 1, 8).code();
  same("allowed", c.next(P, 3, 16).active(4).begin().gap, 0);
  same("inferred frames are in P lists", c.list(), "x 1 0 ?");
  c.buffer.end();
  c.next(B, 4, 12).active(3, 3).disposable().begin();
  same("not in B lists with POC type 0", c.list(0), "1 2 ?");
  same("not in B lists with POC type 0", c.list(1), "2 1 ?");
  c.buffer.end();
  c.next(P, 1, 90).active(4).begin();
  same("a large gap", c.list(), "x x x ?");

  Coder d(3);
  d.idr().code();
  d.next(P, 1, 8).code();
  same("lost", d.next(P, 3, 24).active(4).begin().gap, 1);
  same("lost", d.list(), "x 1 0 ?");
  d.buffer.end();
  d.next(B, 4, 20).active(3, 3).disposable().begin();
  same("a lost P picture lies between", d.list(0), "x 1 2");
  d.buffer.end();
  same("lost again", d.next(B, 5, 18).active(3, 3).disposable().begin().gap, 1);
  same("what a B picture lacks comes after it", d.list(1), "x 2 x");
  d.buffer.end();
  same("not reported twice", d.next(P, 5, 40).begin().gap, 0);

  // Reading begins at an I picture: all before it is missing, pictures shown before it included.
  Coder e(2);
  same("begin", e.next(I, 7, 200).begin().gap, 0);
  same("begin", e.started.poc, 200);
  e.buffer.end();
  e.next(B, 8, 196).active(2, 1).disposable().begin();
  same("leading B picture", e.list(0), "x 0");
  same("leading B picture", e.list(1), "0");
  e.buffer.end();
  e.next(P, 8, 208).active(2).begin();
  same("P picture", e.list(), "0 x");
  e.buffer.end();
  e.next(B, 9, 204).active(2, 2).begin();
  same("complete again", e.list(0) + ", " + e.list(1), "0 2, 2 0");
  e.buffer.end();
  e.buffer.reset();
  e.next(P, 9, 4).active(2).begin();
  same("reset", e.list(), "x x");
}

void pairing() {
  Coder c(2);
  c.idr(kTop).code();
  same("I and P", (c.next(P, 0, 1, kBottom).code(), c.started.second_field), 1);
  same("not references", (c.next(B, 1, 4, kTop).disposable().code(), c.started.second_field), 0);
  same("not references", (c.next(B, 1, 5, kBottom).disposable().code(), c.started.second_field), 1);
  same("POC of both", c.started.poc_field[0], 4);
  same("a third field begins anew", (c.next(B, 1, 6, kTop).disposable().code(), c.started.second_field), 0);
  same("the same parity", (c.next(B, 1, 8, kTop).disposable().code(), c.started.second_field), 0);
  same("a reference does not join", (c.next(P, 1, 9, kBottom).code(), c.started.second_field), 0);
  same("another frame_num", (c.next(P, 2, 12, kTop).code(), c.started.second_field), 0);
  same("operation 5", (c.next(P, 2, 13, kBottom).mark({forget_all()}).code(), c.started.second_field), 0);
  same("an IDR picture", (c.idr(kTop).code(), c.started.second_field), 0);
  same("serials", c.started.frame, 7);
}

void payloads() {
  // Pictures are opaque to this stage: any pointer does.
  const auto make = [](int& tag) {
    return std::shared_ptr<Picture>(std::make_shared<int>(0), reinterpret_cast<Picture*>(&tag));
  };
  int tags[3];
  Coder c(1);
  c.idr();
  const int32_t idr = c.buffer.begin(c.header, 0, 0, make(tags[0])).frame;
  same("current", c.buffer.payload(idr) != nullptr, 1);
  c.buffer.end();
  c.next(B, 1, 2, kTop).disposable();
  const int32_t field = c.buffer.begin(c.header, 1, 1, make(tags[1])).frame;
  c.buffer.end();
  c.next(B, 1, 3, kBottom).disposable();
  c.buffer.begin(c.header, 2, 2, make(tags[2]));
  same("the first field's stays", c.buffer.payload(field).get() == reinterpret_cast<Picture*>(&tags[1]), 1);
  c.buffer.end();
  same("not a reference, gone", c.buffer.payload(field) == nullptr, 1);
  same("reference, kept", c.buffer.payload(idr).get() == reinterpret_cast<Picture*>(&tags[0]), 1);
  c.next(P, 1, 4);
  c.buffer.begin(c.header, 3, 3, nullptr);
  same("kept until marking", c.buffer.payload(idr) != nullptr, 1);
  c.buffer.end();
  same("slid out", c.buffer.payload(idr) == nullptr, 1);
}

// Headers without sense: nothing to expect but that lists name pictures once begun and that at most 16 frames are
// held.
void nonsense() {
  uint32_t seed = 1;
  const auto random = [&seed](uint32_t n) {
    seed = seed * 1664525 + 1013904223;
    return (seed >> 8) % n;
  };
  Coder c(1);
  for (int i = 0; i < 50000; ++i) {
    c.sps->max_num_ref_frames = uint8_t(random(20));
    c.sps->poc_type = uint8_t(random(3));
    c.sps->gaps_in_frame_num_allowed = random(2) != 0;
    c.sps->log2_max_frame_num = uint8_t(random(8) ? 4 : 16);
    c.sps->offset_for_ref_frame.assign(random(3), int32_t(random(1u << 24)) * -128);
    c.next(SliceType(random(5)), random(8) ? uint32_t(i / 2 % 16) : random(1u << 4), int(random(256)),
           Structure(random(4) ? 1 + i % 2 : 3));
    c.header.idr = random(200) == 0;
    c.header.nal.ref_idc = uint8_t(random(3));
    c.header.delta_poc_bottom = int32_t(random(1u << 24)) * -128;
    c.header.delta_poc[0] = int32_t(random(1u << 24)) * 127;
    c.header.long_term_reference = random(2) != 0;
    c.header.adaptive_marking = random(2) != 0;
    for (uint32_t n = random(6); n > 0; --n) {
      c.header.operations.push_back({uint8_t(random(8)), random(24), random(24), random(18), random(18)});
      c.header.modifications[n & 1].push_back({uint8_t(random(4)), random(9) ? random(20) : 0xFFFFFFFFu - random(2)});
    }
    c.active(int(random(33)), int(random(33))).begin();
    const SliceRefs refs = c.buffer.lists(c.header);
    for (int x = 0; x < 2; ++x) {
      for (int k = 0; k < refs.count[x]; ++k) {
        const RefEntry& entry = refs.list[x][k];
        if (entry.frame >= c.number || (entry.frame < 0) != (entry.number < 0)) same("entry", entry.frame, -1);
      }
    }
    c.buffer.end();
  }
  c.sps->max_num_ref_frames = 16;
  c.sps->log2_max_frame_num = 4;
  c.next(P, c.header.frame_num, 0).active(32).begin();
  const SliceRefs refs = c.buffer.lists(c.header);
  for (int k = 16; k < 32; ++k) same("no more than 16", refs.list[0][k].frame, -1);
}

}  // namespace

int main() {
  order_type_0();
  order_types_1_2();
  p_frames();
  b_frames();
  p_fields();
  b_fields();
  marking();
  gaps();
  pairing();
  payloads();
  nonsense();
  if (failures > 0) std::printf("%d failed\n", failures);
  return failures > 0;
}
