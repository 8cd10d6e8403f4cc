"""Where an interval's maps come from: one module per backend."""
