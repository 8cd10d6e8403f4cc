#include "common/pool.hpp"

#include <mutex>
#include <new>
#include <vector>

namespace himmel {

namespace {

// What is kept at most: some pictures of 1080p, which take 1.2 MB each. Sanitizers see more where nothing is.
#ifdef HIMMEL_SANITIZED
constexpr size_t kMostBytes = 0;
#else
constexpr size_t kMostBytes = size_t(16) << 20;
#endif

struct Kept {
  std::unique_ptr<std::byte[]> data;
  size_t size;
};

class Pool {
 public:
  std::unique_ptr<std::byte[]> take(size_t size) {
    {
      const std::lock_guard lock(mutex_);
      // The last one given back is the likeliest to be in a cache.
      for (size_t i = kept_.size(); i-- > 0;) {
        if (kept_[i].size != size) continue;
        std::unique_ptr<std::byte[]> data = std::move(kept_[i].data);
        kept_.erase(kept_.begin() + ptrdiff_t(i));
        bytes_ -= size;
        return data;
      }
    }
    return std::make_unique_for_overwrite<std::byte[]>(size);
  }

  void give(std::unique_ptr<std::byte[]> data, size_t size) {
    std::vector<Kept> gone;  // freed after the lock
    const std::lock_guard lock(mutex_);
    if (size > kMostBytes) return;
    // The oldest make room: of a size that is asked for no more, they would stay for ever.
    size_t first = 0;
    for (; bytes_ + size > kMostBytes; ++first) bytes_ -= kept_[first].size, gone.push_back(std::move(kept_[first]));
    kept_.erase(kept_.begin(), kept_.begin() + ptrdiff_t(first));
    kept_.push_back({std::move(data), size});
    bytes_ += size;
  }

 private:
  std::mutex mutex_;
  std::vector<Kept> kept_;
  size_t bytes_ = 0;
};

// Never destroyed: pictures may outlive static objects.
Pool& pool() {
  static Pool& whole = *new Pool;
  return whole;
}

}  // namespace

PooledBlock::PooledBlock(size_t bytes) : data_(pool().take(bytes)), size_(bytes) {}

PooledBlock::~PooledBlock() {
  if (!data_) return;
  try {
    pool().give(std::move(data_), size_);
  } catch (const std::bad_alloc&) {
    // No room to note it down: it is freed.
  }
}

}  // namespace himmel
