"""What is said of rendered clips in sentences."""

from himmel.nano.draw import draw_spec
from himmel.nano.sentences import sentences


def test_what_is_there_is_named_and_nothing_else_is_affirmed() -> None:
    affirmed = 0
    for seed in range(300):
        spec = draw_spec(seed)
        (_, described), (_, motion), (asked, answer), (_, unknown) = sentences(spec)
        names = [thing.name for thing in spec.things]
        assert all(name in described for name in names if " " not in name)
        assert described.endswith(motion)
        assert (motion == "Nothing moves.") == (
            not any(spec.acts) and spec.camera_motion == "stays still" and spec.change is None
        )
        name = answer.rstrip(".").split(" ")[-1]
        assert name in asked
        assert answer.startswith("Yes") == (name in names)
        affirmed += answer.startswith("Yes")
        assert "can't tell" in unknown
    assert 90 < affirmed < 180


def test_how_often_and_which_way_are_said() -> None:
    for seed in range(200):
        spec = draw_spec(seed, "train", "count")
        acts = [act for act in spec.acts if act is not None]
        times = ("once", "twice", "three times", "four times")[len(acts) - 1]
        assert f"The {spec.things[acts[0].thing].name} moves {acts[0].direction} {times}." in sentences(spec)[1][1]
