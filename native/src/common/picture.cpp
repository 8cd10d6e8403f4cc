#include "common/picture.hpp"

#include <algorithm>
#include <unordered_set>

namespace himmel {

namespace {

void parse_one(CodedPicture& picture, Detail detail) {
  const std::lock_guard lock(picture.mutex);
  if (picture.detail >= detail) return;
  picture.parse_alone(detail);
  picture.detail = detail;
}

// Unparsed pictures whose motion `picture` needs, each before those that need it. Iterative: chains of B pictures may
// be long.
std::vector<std::shared_ptr<CodedPicture>> needed(const std::shared_ptr<CodedPicture>& picture) {
  std::vector<std::shared_ptr<CodedPicture>> order, stack{picture}, sources;
  std::unordered_set<const CodedPicture*> seen{picture.get()};
  for (size_t next = 0; next < stack.size(); ++next) {
    const std::shared_ptr<CodedPicture> current = stack[next];
    if (current != picture) order.push_back(current);
    sources.clear();
    {
      const std::lock_guard lock(current->mutex);
      current->add_needed(sources);
    }
    for (auto& source : sources)
      if (source->detail == Detail::None && seen.insert(source.get()).second) stack.push_back(std::move(source));
  }
  // What a picture needs was decoded before it.
  std::sort(order.begin(), order.end(), [](const auto& a, const auto& b) { return a->serial < b->serial; });
  return order;
}

}  // namespace

void parse(const std::shared_ptr<CodedPicture>& picture, Detail detail) {
  if (picture->detail >= detail) return;
  for (const auto& each : needed(picture)) parse_one(*each, Detail::Vectors);
  parse_one(*picture, detail);
}

}  // namespace himmel
