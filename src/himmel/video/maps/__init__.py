"""Grids: blocks with vectors and decoded planes become maps of motion and residual."""
