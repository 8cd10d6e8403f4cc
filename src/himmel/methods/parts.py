"""A prompt as texts and pictures in turn, before any host or API has its own form of it."""

import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.uint8]
"""A picture, uint8 [H, W, 3], RGB."""
Part = str | Image
