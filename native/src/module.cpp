// The Python face (himmel_bitstream._core).
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <bit>
#include <limits>
#include <optional>

#include "h264/raster.hpp"
#include "h264/stream.hpp"
#include "h264/vector_records.hpp"

namespace nb = nanobind;
using namespace nb::literals;
using namespace himmel;
using namespace himmel::h264;

namespace {

using Handle = std::shared_ptr<Picture>;

// A contiguous buffer of a Python object, held while it is read.
class Bytes {
 public:
  explicit Bytes(nb::handle object) {
    if (PyObject_GetBuffer(object.ptr(), &view_, PyBUF_SIMPLE) != 0) throw nb::python_error();
  }
  ~Bytes() { PyBuffer_Release(&view_); }
  Bytes(const Bytes&) = delete;
  Bytes& operator=(const Bytes&) = delete;
  const uint8_t* data() const { return static_cast<const uint8_t*>(view_.buf); }
  size_t size() const { return size_t(view_.len); }

 private:
  Py_buffer view_;
};

template <class T>
nb::object own_array(std::vector<T>&& values, std::vector<size_t> shape) {
  auto* data = new std::vector<T>(std::move(values));
  nb::capsule owner(data, [](void* p) noexcept { delete static_cast<std::vector<T>*>(p); });
  return nb::cast(nb::ndarray<nb::numpy, T>(data->data(), shape.size(), shape.data(), owner));
}

// Records as bytes; Python gives them their structured type.
template <class T>
nb::bytes as_bytes(const std::vector<T>& records) {
  return nb::bytes(reinterpret_cast<const char*>(records.data()), records.size() * sizeof(T));
}

void check_parsable(const Handle& picture) {
  if (!picture->has_bytes)
    throw nb::value_error("this picture was pushed with keep=False, so that only its headers are known");
}

void parse_picture(const Handle& picture, bool residual) {
  check_parsable(picture);
  nb::gil_scoped_release release;
  parse(picture, residual ? Detail::Residual : Detail::Vectors);
}

const Picture& parsed(const Handle& picture) {
  if (picture->detail == Detail::None) parse_picture(picture, false);
  return *picture;
}

const char* kind_name(SliceType type) { return type == SliceType::B ? "B" : type == SliceType::P ? "P" : "I"; }

struct MacroblockRecord {
  uint16_t flags;
  int8_t qp;
  uint8_t cbp;
  uint16_t slice, bits;
};

nb::bytes macroblocks(const Handle& picture) {
  std::vector<MacroblockRecord> records;
  const FrameMotion& motion = *parsed(picture).motion;
  for (size_t i = 0; i < motion.size(); ++i) {
    const Macroblock& mb = motion.mbs[i];
    records.push_back({mb.flags, mb.qp, mb.cbp, mb.slice, mb.bits});
  }
  return as_bytes(records);
}

nb::bytes vector_records(const Handle& picture) {
  check_parsable(picture);
  std::vector<VectorRecord> records;
  {
    nb::gil_scoped_release release;
    parse(picture, Detail::Vectors);
    records = vectors(*picture);
  }
  return as_bytes(records);
}

nb::tuple residual_planes(const Handle& picture) {
  check_parsable(picture);
  ResidualPlanes planes;
  {
    nb::gil_scoped_release release;
    planes = spatial_residual(picture);
  }
  nb::list out;
  for (int i = 0; i < 3; ++i)
    if (planes.width[i] > 0)
      out.append(own_array(std::move(planes.plane[i]), {size_t(planes.height[i]), size_t(planes.width[i])}));
  return nb::tuple(out);
}

nb::dict slice_of(const Slice& slice) {
  nb::dict out;
  const SliceHeader& header = slice.header;
  out["type"] = kind_name(header.type);
  out["structure"] = int(header.structure);
  out["first_mb"] = header.first_mb;
  out["qp"] = int(header.qp);
  out["direct_spatial"] = header.direct_spatial;
  nb::list lists;
  for (size_t list = 0; list < 2; ++list) {
    nb::list entries;
    for (size_t i = 0; i < slice.refs.count[list]; ++i) {
      const RefEntry& entry = slice.refs.list[list][i];
      entries.append(nb::make_tuple(entry.number, int(entry.structure), entry.poc, entry.long_term, entry.missing));
    }
    lists.append(entries);
  }
  out["ref_lists"] = nb::tuple(lists);
  const bool explicit_weights = header.weights != nullptr;
  out["weighted"] = explicit_weights ? 1 : header.is_b() && header.pps->weighted_bipred_idc == 2 ? 2 : 0;
  nb::list weights;
  if (explicit_weights)
    for (size_t list = 0; list < 2; ++list) {
      nb::list entries;
      for (size_t i = 0; i < slice.refs.count[list]; ++i) {
        const PredWeights::Entry& e = header.weights->entry[list][i];
        entries.append(nb::make_tuple(e.luma_weight, e.luma_offset, e.chroma_weight[0], e.chroma_offset[0],
                                      e.chroma_weight[1], e.chroma_offset[1]));
      }
      weights.append(entries);
    }
  out["weights"] = weights;
  out["log2_denoms"] =
      explicit_weights ? nb::make_tuple(int(header.weights->luma_log2_denom), int(header.weights->chroma_log2_denom))
                       : nb::make_tuple(0, 0);
  return out;
}

nb::list slices(const Handle& picture) {
  nb::list out;
  for (const Slice& slice : *picture->slices) out.append(slice_of(slice));
  return out;
}

using MapArray = nb::ndarray<float, nb::ndim<3>, nb::c_contig, nb::device::cpu>;

Grid make_grid(const Picture& picture, int cell, std::optional<std::tuple<int, int, int, int>> window,
               std::pair<int, int> lead) {
  const Sps& sps = *picture.sps;
  Grid grid{int(sps.crop_left), int(sps.crop_top), sps.width(), sps.height(), cell, lead.first, lead.second};
  if (window) std::tie(grid.left, grid.top, grid.width, grid.height) = *window;
  if (cell < 4 || cell > 4096 || !std::has_single_bit(unsigned(cell)))
    throw nb::value_error("cell must be a power of two from 4 to 4096 luma samples");
  const bool inside = grid.left >= 0 && grid.top >= 0 && grid.width > 0 && grid.height > 0 &&
                      grid.width <= 16 * sps.width_mbs - grid.left && grid.height <= 16 * sps.height_mbs() - grid.top;
  if (std::min(lead.first, lead.second) < 0 || std::max(lead.first, lead.second) >= cell)
    throw nb::value_error("lead (x, y) must be from 0 to cell - 1");
  if (!inside) throw nb::value_error("window (left, top, width, height) must lie inside the coded frame");
  return grid;
}

std::tuple<float, float, int64_t> rasterise_into(const Handle& picture, MapArray out, int cell,
                                                 std::optional<std::tuple<int, int, int, int>> window,
                                                 std::pair<int, int> lead, bool residual) {
  check_parsable(picture);
  const Grid grid = make_grid(*picture, cell, window, lead);
  if (out.shape(0) != size_t(kMapPlanes) || out.shape(1) != size_t(grid.rows()) ||
      out.shape(2) != size_t(grid.columns()))
    throw nb::value_error("the output array does not have the shape of the grid");
  nb::gil_scoped_release release;
  parse(picture, !residual ? Detail::Vectors : cell < 8 ? Detail::FineResidual : Detail::Residual);
  const Summary summary = rasterise(*picture, grid, residual, out.data());
  return {summary.past_distance, summary.future_distance, summary.num_vectors};
}

void set_extradata(Stream& stream, nb::object extradata) {
  const Bytes bytes(extradata);
  try {
    stream.set_extradata(bytes.data(), bytes.size());
  } catch (const StreamError& error) { throw nb::value_error(error.what()); }
}

std::vector<Handle> push(Stream& stream, nb::object packet, int64_t number, double position, bool keep) {
  const Bytes bytes(packet);
  return stream.push(bytes.data(), bytes.size(), number, position, keep);
}

}  // namespace

NB_MODULE(_core, m) {
  nb::exception<Unsupported>(m, "UnsupportedStream", PyExc_ValueError);
  m.attr("INTRA") = int(kMbIntra);
  m.attr("INTRA16x16") = int(kMbIntra16x16);
  m.attr("INTRA_NXN") = int(kMbIntraNxN);
  m.attr("PCM") = int(kMbPcm);
  m.attr("SKIP") = int(kMbSkip);
  m.attr("DIRECT") = int(kMbDirect);
  m.attr("TRANSFORM8x8") = int(kMbTransform8x8);
  m.attr("FIELD") = int(kMbField);
  m.attr("BYPASS") = int(kMbBypass);
  m.attr("DAMAGED") = int(kMbDamaged);
  m.attr("BOTTOM") = int(kMbBottom);
  m.attr("MAP_PLANES") = int(kMapPlanes);
  m.attr("VECTOR_SIZE") = sizeof(VectorRecord);
  m.attr("MACROBLOCK_SIZE") = sizeof(MacroblockRecord);

  nb::class_<Picture>(m, "CodedPicture")
      .def_ro("number", &Picture::number)
      .def_ro("position", &Picture::position)
      .def_prop_ro("kind", [](const Handle& p) { return kind_name(p->kind); })
      .def_ro("poc", &Picture::poc)
      .def_prop_ro("poc_fields", [](const Handle& p) { return std::pair(p->poc_field[0], p->poc_field[1]); })
      .def_ro("reference", &Picture::reference)
      .def_ro("idr", &Picture::idr)
      .def_ro("gap", &Picture::gap)
      .def_prop_ro("coded_size",
                   [](const Handle& p) { return std::pair(16 * p->sps->width_mbs, 16 * p->sps->height_mbs()); })
      .def_prop_ro("window",
                   [](const Handle& p) {
                     return std::tuple(int(p->sps->crop_left), int(p->sps->crop_top), p->sps->width(),
                                       p->sps->height());
                   })
      .def_prop_ro(
          "bit_depth",
          [](const Handle& p) { return std::pair(int(p->sps->bit_depth_luma), int(p->sps->bit_depth_chroma)); })
      .def_prop_ro("chroma_format", [](const Handle& p) { return int(p->sps->chroma_format_idc); })
      .def_ro("field_picture", &Picture::field_picture)
      .def_ro("mbaff", &Picture::mbaff)
      .def_ro("broken_header", &Picture::broken_header)
      .def_ro("bits", &Picture::bits)
      .def_prop_ro("damaged", [](const Handle& p) { return parsed(p).damaged; })
      .def_prop_ro("broken_slices", [](const Handle& p) { return parsed(p).broken_slices; })
      .def_prop_ro("quantiser", [](const Handle& p) { return parsed(p).quantiser; })
      .def_prop_ro("missing_references", [](const Handle& p) { return p->missing_references(); })
      .def("parse", &parse_picture, nb::kw_only(), "residual"_a = false)
      .def("vectors", &vector_records)
      .def("macroblocks", &macroblocks)
      .def("slices", &slices)
      .def("residual", &residual_planes)
      .def("rasterise", &rasterise_into, "out"_a, nb::kw_only(), "cell"_a, "window"_a.none(), "lead"_a, "residual"_a);

  nb::class_<Stream>(m, "Stream")
      .def(nb::init<>())
      .def("set_extradata", &set_extradata, "extradata"_a)
      .def("push", &push, "packet"_a, nb::kw_only(), "number"_a,
           "position"_a = std::numeric_limits<double>::quiet_NaN(), "keep"_a = true)
      .def("flush", &Stream::flush)
      .def("reset", &Stream::reset);
}
