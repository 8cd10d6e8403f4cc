"""Training-free token reduction before the language model, at a stated budget: one module for each algorithm."""
