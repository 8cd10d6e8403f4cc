# %% [markdown]
# # Motion drawn over the video
#
# `draw_overlay` writes a video with arrows, residual and cuts over the pictures, and `draw_page` a page on which one
# moves through the file. Neither needs a model.

# %%
import himmel
from himmel.nano.assets import get_sample_clip
from himmel.video import draw_overlay, draw_page

video = himmel.Video(get_sample_clip("bigbuckbunny"))
overlay = draw_overlay(video, "overlay.mp4", start=0.0, end=1.0)
print(overlay.pictures, "pictures are in overlay.mp4; cuts at", overlay.cuts)

# %%
page = draw_page(video, "page.html", num_anchors=4, steps_per_interval=4)
print(page.moments, "moments are in page.html")

# %% [markdown]
# For a drawing of your own, `Video.images` and `Video.vectors` go through the same pictures side by side.

# %%
import cv2

image, picture = next(pair for pair in zip(video.images(), video.vectors(), strict=True) if pair[1].frame == 10)
canvas = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
for x0, y0, x1, y1, dx, dy, *_ in picture.vectors.tolist():
    x, y = (x0 + x1) // 2, (y0 + y1) // 2
    cv2.arrowedLine(canvas, (x, y), (round(x + dx), round(y + dy)), (0, 255, 0), tipLength=0.3)
cv2.imwrite("arrows.jpg", canvas)
print(len(picture.vectors), "vectors of picture", picture.frame, "are in arrows.jpg")
