#include "h264/stream.hpp"

#include <algorithm>
#include <utility>

#include "common/units.hpp"
#include "h264/extradata.hpp"

namespace himmel::h264 {

namespace {

// nal_unit_type (Table 7-1).
enum UnitType { kSliceUnit = 1, kPartitionA = 2, kPartitionC = 4, kIdrUnit = 5, kSpsUnit = 7, kPpsUnit = 8 };

// Slice headers are mostly shorter than this; longer ones are read again whole.
constexpr size_t kHeaderBytes = 96;
// More slices than macroblocks can't be; 65535 is reserved (kNoSlice).
constexpr size_t kMaxSlices = 65000;

}  // namespace

void Stream::set_extradata(const uint8_t* extradata, size_t size) {
  const Extradata record = size == 0 ? Extradata{} : parse_extradata(extradata, size);
  length_size_ = record.length_size;
  for (const Unit& unit : record.units) {
    try {
      take_unit(unit.data, unit.size);
    } catch (const StreamError&) {
      // Parameter sets may come again in the stream.
    }
  }
}

std::vector<std::shared_ptr<Picture>> Stream::push(const uint8_t* data, size_t size, int64_t number, double position,
                                                   bool keep) {
  number_ = number, position_ = position, keep_ = keep;
  const size_t first = done_.size();
  bool damaged = false;
  const std::vector<Unit> units = split_units(data, size, length_size_, damaged);
  for (const Unit& unit : units) {
    try {
      take_unit(unit.data, unit.size);
    } catch (const StreamError&) { damaged = true; }
  }
  // A packet is an access unit: its picture is complete, but for a field whose other half may follow.
  if (damaged) {
    if (current_) current_->broken_header = true;
    for (size_t i = first; i < done_.size(); ++i) done_[i]->broken_header = true;
  }
  end_picture();
  return std::exchange(done_, {});
}

std::vector<std::shared_ptr<Picture>> Stream::flush() {
  end_picture();
  if (waiting_) done_.push_back(std::exchange(waiting_, nullptr));
  return std::exchange(done_, {});
}

void Stream::reset() {
  end_picture();
  references_.reset();
  waiting_.reset();
  done_.clear();
}

void Stream::take_unit(const uint8_t* unit, size_t size) {
  if (size < 2) return;
  const int type = unit[0] & 31;
  if (type == kSliceUnit || type == kIdrUnit) return take_slice(unit, size);
  if (type >= kPartitionA && type <= kPartitionC) throw Unsupported("data partitioning");
  if (type != kSpsUnit && type != kPpsUnit) return;
  const size_t bytes = unescape(unit + 1, size - 1, size, scratch_);
  BitReader bits(scratch_.data(), bytes);
  if (type == kSpsUnit) {
    auto set = std::make_shared<const Sps>(parse_sps(bits));
    std::shared_ptr<const Sps>& slot = sps_[set->id & 31];
    if (!slot || !(*slot == *set)) slot = std::move(set);
  } else {
    auto set = std::make_shared<const Pps>(parse_pps(bits, sps_));
    pps_[set->id] = std::move(set);
  }
}

void Stream::take_slice(const uint8_t* unit, size_t size) {
  const NalHeader nal{uint8_t(unit[0] >> 5 & 3), uint8_t(unit[0] & 31)};
  SliceHeader header;
  for (size_t limit = kHeaderBytes;; limit = size) {
    const size_t bytes = unescape(unit + 1, std::min(size - 1, limit), limit, scratch_);
    BitReader bits(scratch_.data(), bytes);
    try {
      header = parse_slice_header(bits, nal, sps_, pps_);
      break;
    } catch (const StreamError&) {
      if (limit >= size) throw;
    }
  }
  if (!in_picture_ || starts_new_picture(previous_, header)) {
    end_picture();
    begin_picture(header);
  }
  if (!fits(header) || current_->slices->size() >= kMaxSlices)
    throw StreamError("a slice does not belong to its picture");
  previous_ = header;
  if (header.type == SliceType::B || (header.type == SliceType::P && current_->kind == SliceType::I))
    current_->kind = header.type;
  Slice slice;
  slice.refs = references_.lists(header);
  Source source;
  if (header.is_b() && slice.refs.count[1] > 0) {
    source.picture = references_.payload(slice.refs.list[1][0].frame);
    source.self = source.picture == current_;
    if (source.self) source.picture.reset();
  }
  current_->bits += 8 * int64_t(size);
  if (current_->has_bytes) {
    slice.offset = current_->bytes.size();
    slice.size = size - 1;
    current_->bytes.insert(current_->bytes.end(), unit + 1, unit + size);
  }
  slice.header = std::move(header);
  current_->slices->push_back(std::move(slice));
  current_->colocated.push_back(std::move(source));
}

void Stream::begin_picture(const SliceHeader& header) {
  auto fresh = std::make_shared<Picture>();
  const ReferenceBuffer::Started started = references_.begin(header, number_, position_, fresh);
  in_picture_ = true;
  second_field_ = started.second_field && waiting_ != nullptr;
  if (started.second_field && waiting_) {
    current_ = std::exchange(waiting_, nullptr);
  } else {
    if (waiting_) done_.push_back(std::exchange(waiting_, nullptr));
    current_ = std::move(fresh);
    current_->number = number_;
    current_->serial = serial_++;
    current_->position = position_;
    current_->sps = header.sps;
    current_->field_picture = header.structure != kFrame;
    current_->mbaff = header.mbaff;
    current_->idr = header.idr;
    current_->has_bytes = keep_ || header.nal.ref_idc != 0;
  }
  current_->gap |= started.gap;
  current_->reference |= header.nal.ref_idc != 0;
  current_->poc = started.poc;
  if (header.structure & kTop) current_->poc_field[0] = started.poc_field[0];
  if (header.structure & kBottom) current_->poc_field[1] = started.poc_field[1];
  if (header.structure != kFrame && !started.second_field) {
    current_->poc_field[header.structure == kTop] = current_->poc_field[header.structure == kBottom];
  }
}

void Stream::end_picture() {
  if (!in_picture_) return;
  in_picture_ = false;
  references_.end();
  const bool half = current_->field_picture && !second_field_;
  if (half)
    waiting_ = std::exchange(current_, nullptr);
  else
    done_.push_back(std::exchange(current_, nullptr));
}

// A second field or a later slice of another size would not fit the frame's arrays.
bool Stream::fits(const SliceHeader& header) const {
  const Sps& a = *current_->sps;
  const Sps& b = *header.sps;
  return a.width_mbs == b.width_mbs && a.height_mbs() == b.height_mbs() &&
         a.chroma_format_idc == b.chroma_format_idc && a.bit_depth_luma == b.bit_depth_luma &&
         a.bit_depth_chroma == b.bit_depth_chroma && (header.structure != kFrame) == current_->field_picture &&
         header.mbaff == current_->mbaff;
}

}  // namespace himmel::h264
