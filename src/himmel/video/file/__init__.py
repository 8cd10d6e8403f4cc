"""A file as pictures that can be addressed: opening, packets, the picture index, times, orientation, decoding."""
