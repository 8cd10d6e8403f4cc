"""What rendered clips are made of: names of emoji, shapes, colours and photographs, and who may see which of them."""

from typing import Final, Literal

Split = Literal["train", "eval"]

# Everyday words of one or two tokens, each with the character that OpenMoji draws.
EMOJI: Final[dict[str, str]] = {
    "airplane": "\u2708", "apple": "\U0001f34e", "ball": "\u26bd", "balloon": "\U0001f388", "banana": "\U0001f34c",
    "bear": "\U0001f43b", "bee": "\U0001f41d", "bicycle": "\U0001f6b2", "boat": "\u26f5", "book": "\U0001f4d5",
    "burger": "\U0001f354", "bus": "\U0001f68c", "butterfly": "\U0001f98b", "cactus": "\U0001f335",
    "cake": "\U0001f382",
    "camel": "\U0001f42b", "car": "\U0001f697", "carrot": "\U0001f955", "cat": "\U0001f431", "chicken": "\U0001f414",
    "clock": "\u23f0", "corn": "\U0001f33d", "cow": "\U0001f42e", "crab": "\U0001f980", "crown": "\U0001f451",
    "dog": "\U0001f436", "dolphin": "\U0001f42c", "drum": "\U0001f941", "duck": "\U0001f986", "elephant": "\U0001f418",
    "fish": "\U0001f41f", "fox": "\U0001f98a", "frog": "\U0001f438", "ghost": "\U0001f47b", "grapes": "\U0001f347",
    "guitar": "\U0001f3b8", "hammer": "\U0001f528", "horse": "\U0001f434",
    "house": "\U0001f3e0", "key": "\U0001f511", "lemon": "\U0001f34b", "lion": "\U0001f981", "monkey": "\U0001f435",
    "mouse": "\U0001f42d", "mushroom": "\U0001f344", "octopus": "\U0001f419", "owl": "\U0001f989",
    "panda": "\U0001f43c", "penguin": "\U0001f427", "pig": "\U0001f437", "pineapple": "\U0001f34d",
    "pizza": "\U0001f355", "rabbit": "\U0001f430", "robot": "\U0001f916", "rocket": "\U0001f680", "rose": "\U0001f339",
    "snail": "\U0001f40c", "snake": "\U0001f40d", "strawberry": "\U0001f353", "sunflower": "\U0001f33b",
    "tiger": "\U0001f42f", "train": "\U0001f686", "tree": "\U0001f333", "turtle": "\U0001f422",
    "umbrella": "\u2602", "watermelon": "\U0001f349", "whale": "\U0001f433",
}  # fmt: skip

# Drawn in evaluation clips alone, where they move but their name is never what is asked.
HELD_OUT_EMOJI: Final[dict[str, str]] = {
    "bell": "\U0001f514", "cherry": "\U0001f352", "giraffe": "\U0001f992", "helicopter": "\U0001f681",
    "kangaroo": "\U0001f998", "lamp": "\U0001f4a1", "scissors": "\u2702", "spider": "\U0001f577",
    "taxi": "\U0001f695", "trumpet": "\U0001f3ba", "unicorn": "\U0001f984", "zebra": "\U0001f993",
}  # fmt: skip

SHAPES: Final = ("circle", "square", "star", "triangle")

COLOURS: Final[dict[str, tuple[int, int, int]]] = {
    "black": (20, 20, 20),
    "blue": (30, 70, 220),
    "green": (30, 160, 50),
    "orange": (250, 140, 20),
    "purple": (140, 40, 170),
    "red": (220, 30, 30),
    "white": (245, 245, 245),
    "yellow": (250, 225, 40),
}

# File -> emoji names that the photograph itself may be taken to show; these are then neither drawn nor offered.
PHOTOGRAPHS: Final[dict[Split, dict[str, tuple[str, ...]]]] = {
    "train": {
        "astronaut.png": ("rocket",),
        "brick.png": (),
        "camera.png": (),
        "coffee.png": (),
        "coins.png": (),
        "grass.png": (),
        "hubble_deep_field.jpg": (),
        "ihc.png": (),
        "motorcycle_left.png": ("bicycle",),
        "rocket.jpg": ("rocket",),
    },
    "eval": {
        "chelsea.png": ("cat", "tiger", "lion"),
        "china.jpg": ("house", "tree"),
        "flower.jpg": ("rose", "sunflower"),
        "gravel.png": (),
    },
}

DIRECTIONS: Final[dict[str, tuple[int, int]]] = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}
"""Unit vectors in the picture, x to the right, y down."""

PLACES: Final = ("top left", "top right", "bottom left", "bottom right")

CAMERA_MOTIONS: Final[dict[str, tuple[int, int, int]]] = {
    "pans left": (1, 0, 0),
    "pans right": (-1, 0, 0),
    "tilts up": (0, 1, 0),
    "tilts down": (0, -1, 0),
    "zooms in": (0, 0, 1),
    "zooms out": (0, 0, -1),
    "stays still": (0, 0, 0),
}
"""Signs of what the picture's content does: (x, y, growth). A camera that pans right moves the content left."""

PERIODS: Final = ("at the beginning", "in the middle", "at the end", "all the time")

COUNTS: Final = ("once", "twice", "three times", "four times")
NUMBERS: Final = ("one", "two", "three", "four")
