// The two ways in which headers can fail. The macroblock layer never throws: it marks damage and goes on.
#pragma once

#include <stdexcept>
#include <string>

namespace himmel {

// Syntax that breaks the standard or a limit: the NAL unit is skipped, the picture marked as damaged.
struct StreamError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// A feature that is refused by name ("flexible macroblock ordering (FMO)"); surfaces in Python as UnsupportedStream.
struct Unsupported : std::runtime_error {
  using std::runtime_error::runtime_error;
};

}  // namespace himmel
