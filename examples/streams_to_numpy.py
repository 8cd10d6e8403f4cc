# %% [markdown]
# # Streams to NumPy
#
# Motion and residual of a file as arrays. This needs no model, no torch and no GPU: `pip install .` is enough.

# %%
import numpy as np

import himmel
from himmel.nano.assets import get_sample_clip
from himmel.video import draw_streams, save_streams

video = himmel.Video(get_sample_clip("bigbuckbunny"))
streams = video.decompose(num_anchors=4, steps_per_interval=8)
print(streams)

# %% [markdown]
# Each interval has maps: `past` is [steps, 2, rows, columns], how many pixels the content of each cell has moved to the
# right and down since its reference picture. Divided by `past_distance`, the number of frames between the two, it is a
# speed. Where `past_valid` is 0, no vector covers the cell.

# %%
for anchor, interval in zip(streams.anchors, streams.intervals, strict=True):
    maps = interval.maps
    distance = np.where(maps.past_distance > 0, maps.past_distance, np.nan)[:, None, None, None]
    speed = np.linalg.norm(maps.past / distance, axis=1)
    moving = np.nanmean(np.where(maps.past_valid > 0, speed, np.nan)) if (maps.past_valid > 0).any() else 0.0
    print(f"from {anchor.time:4.1f} s: {moving:.2f} pixels a frame, residual {maps.residual[:, 0].mean():.2f}")

# %% [markdown]
# All of it fits into one archive, which NumPy reads without himmel, and into one picture.

# %%
save_streams(streams, "streams.npz")
draw_streams(streams, "streams.png")
with np.load("streams.npz") as archive:
    print({name: archive[name].shape for name in ("anchor_images", "past", "residual", "step_times")})
