# %% [markdown]
# # Ask questions
#
# A session loads the model once and answers any number of questions. It keeps what it has read of a video, so that the
# second question about it starts at once. The first run fetches the default model (about 110 MB) and a clip.

# %%
import himmel
from himmel.nano.assets import get_nano_host, get_sample_clip

get_nano_host()
video = get_sample_clip("bigbuckbunny")
session = himmel.Session()

# %% [markdown]
# With choices, the answer is the likeliest of them. This is what the default model does best; it is a demonstration,
# and about real videos it is often wrong.

# %%
answer = session.ask(video, "Which way does the rabbit move?", choices=["left", "right"])
for choice in answer.choices:
    print(f"{choice.text}: {choice.probability:.2f}")

# %% [markdown]
# Does it see the motion, or does it guess? The method `anchors` shows it the same frames without motion tokens.

# %%
blind = session.ask(video, "Which way does the rabbit move?", choices=["left", "right"], method="anchors")
for with_motion, without in zip(answer.choices, blind.choices, strict=True):
    print(f"{with_motion.text}: {with_motion.probability:.2f} with motion, {without.probability:.2f} without")

# %% [markdown]
# An answer says what it was made from: anchors and intervals, prompt tokens by kind, seconds by stage.

# %%
print(answer.tokens)
print({stage: round(seconds, 2) for stage, seconds in answer.seconds.items()})

# %% [markdown]
# Without choices, the model writes.

# %%
print(session.ask(video, "What is in the video?", max_new_tokens=16).text)
