# %% [markdown]
# # Train on your own videos
#
# Three clips and a few questions become a training set, a recipe and a checkpoint. This shows the way and teaches
# nothing: real sets need thousands of questions. It needs `pip install ".[train]"`.

# %%
import json
import shutil
from pathlib import Path

from himmel.nano.assets import get_nano_host, get_sample_clip

work = Path("own-training")
clips = work / "clips"
clips.mkdir(parents=True, exist_ok=True)
for name in ("bikes", "carphone", "bigbuckbunny"):
    shutil.copyfile(get_sample_clip(name), clips / f"{name}.mp4")

# %% [markdown]
# A row names a video by its path below the folder of clips. An answer is a text, or one of the choices.

# %%
rows = [
    {"video": "bikes.mp4", "question": "What passes by?", "answer": "people on bicycles"},
    {
        "video": "carphone.mp4",
        "question": "What moves most?",
        "choices": ["his head", "the seat"],
        "answer": "his head",
    },
    {"video": "bigbuckbunny.mp4", "question": "What animal is it?", "answer": "a rabbit"},
]
questions = work / "questions.json"
questions.write_text(json.dumps(rows), encoding="utf-8")

# %% [markdown]
# `begin_recipe` (`himmel train init`) writes a recipe with a comment at each key, and tries samples as training would.
# Videos are read by processes of their own, which import this file first: what starts them is for the main one alone.

# %%
if __name__ == "__main__":
    from himmel.training.corpus.begin import begin_recipe

    get_nano_host()
    (work / "run" / "recipe.yaml").unlink(missing_ok=True)  # of an earlier run: recipes are never overwritten
    begun = begin_recipe(work / "run", videos=clips, questions=questions)
    print(f"{begun.recipe}: {begun.samples} of {begun.videos} videos, {begun.tokens} tokens")

# %% [markdown]
# Two small steps of training. If you run this script again, the finished stage is taken as it is.

# %%
if __name__ == "__main__":
    import himmel
    from himmel.training.run import run_recipe

    checkpoint = run_recipe(
        begun.recipe, overrides={"stage2.optimizer.steps": "2", "stage2.optimizer.batch_size": "1"}, tell=print
    )
    answer = himmel.ask(clips / "bigbuckbunny.mp4", "What animal is it?", adapter=checkpoint, max_new_tokens=8)
    print(answer.text)
