# %% [markdown]
# # Vectors of every picture
#
# `Video.vectors` reads the motion vectors of all pictures, one picture after the other, and holds only a few of them at
# a time. This needs no model and no torch.

# %%
import matplotlib
import numpy as np

matplotlib.use("Agg")
import matplotlib.pyplot as plt

import himmel
from himmel.nano.assets import get_sample_clip

video = himmel.Video(get_sample_clip("bigbuckbunny"))
pictures = video.vectors()
print(pictures.backend, "because", pictures.backend_reason)

# %% [markdown]
# Each vector is a block (`x0`, `y0`, `x1`, `y1`), how far its content moves (`dx`, `dy`), and how many frames away the
# picture is that it was predicted from (`distance`). A block counts by its area here.

# %%
times, speeds, bits = [], [], []
compass = np.zeros(8)
for picture in pictures:
    vectors = picture.vectors[picture.vectors["distance"] > 0]
    area = (vectors["x1"] - vectors["x0"]).astype(float) * (vectors["y1"] - vectors["y0"])
    dx, dy = vectors["dx"] / vectors["distance"], vectors["dy"] / vectors["distance"]
    speed = np.hypot(dx, dy)
    times.append(picture.time)
    bits.append(picture.bits)
    speeds.append(np.average(speed, weights=area) if len(vectors) else np.nan)
    eighth = np.round(np.arctan2(dy, dx) / (np.pi / 4)).astype(int) % 8
    np.add.at(compass, eighth, area * speed)

# %% [markdown]
# Which way does the content move, counted by area and speed?

# %%
names = ("right", "right and down", "down", "left and down", "left", "left and up", "up", "right and up")
for name, share in zip(names, compass / max(compass.sum(), 1e-9), strict=True):
    print(f"{share:5.0%} {name}")

# %% [markdown]
# Speed and bits over time, as a picture.

# %%
figure, (above, below) = plt.subplots(2, 1, sharex=True, figsize=(8, 4), layout="constrained")
above.plot(times, speeds)
above.set_ylabel("pixels a frame")
below.bar(times, np.array(bits) / 1000, width=0.8 / video.average_rate)
below.set(xlabel="seconds", ylabel="kbit a picture")
figure.savefig("vectors.png", dpi=150)
