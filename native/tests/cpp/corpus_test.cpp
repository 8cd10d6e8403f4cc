// The fuzzer's corpus, and seeded mutations of it, through the fuzzer's own target: nothing the sanitizers object to.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace {

using Bytes = std::vector<uint8_t>;

constexpr int kMutations = 100;  // of each file

std::vector<Bytes> corpus() {
  std::vector<std::filesystem::path> paths;
  for (const auto& entry : std::filesystem::directory_iterator(HIMMEL_CORPUS)) paths.push_back(entry.path());
  std::sort(paths.begin(), paths.end());
  std::vector<Bytes> files;
  for (const auto& path : paths) {
    std::ifstream file(path, std::ios::binary);
    files.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
  }
  return files;
}

// Some bytes changed, a part cut out, or a part of another file in between.
Bytes mutated(Bytes bytes, const Bytes& other, std::mt19937& random) {
  const auto below = [&](size_t limit) { return limit == 0 ? 0 : size_t(random()) % limit; };
  for (size_t count = 1 + below(4); count > 0 && !bytes.empty(); --count) {
    const size_t at = below(bytes.size());
    const auto place = bytes.begin() + ptrdiff_t(at);
    switch (below(4)) {
      case 0: bytes[at] = uint8_t(random()); break;
      case 1: bytes[at] = uint8_t(bytes[at] ^ 1u << below(8)); break;
      case 2: bytes.erase(place, place + ptrdiff_t(std::min(below(200), bytes.size() - at))); break;
      default: {
        const size_t from = below(other.size());
        const auto begin = other.begin() + ptrdiff_t(from);
        bytes.insert(place, begin, begin + ptrdiff_t(std::min(below(400), other.size() - from)));
      }
    }
  }
  return bytes;
}

}  // namespace

int main() {
  const std::vector<Bytes> files = corpus();
  if (files.size() < 12) {
    std::printf("only %zu files in %s\n", files.size(), HIMMEL_CORPUS);
    return 1;
  }
  std::mt19937 random{1};
  for (const Bytes& file : files) {
    LLVMFuzzerTestOneInput(file.data(), file.size());
    for (int i = 0; i < kMutations; ++i) {
      const Bytes bytes = mutated(file, files[random() % files.size()], random);
      LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
    }
  }
  return 0;
}
