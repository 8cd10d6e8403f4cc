"""What to type where a part of himmel is missing. No package index has himmel, so the commands are for a checkout."""

# Clauses that follow "himmel ..." or a semicolon.
NO_ENGINE = "himmel was installed without its bitstream engine"
GET_ENGINE = "with a C++20 compiler here, `pip install .` in himmel's checkout compiles it"
