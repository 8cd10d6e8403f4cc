"""What rendered clips are made of: names of emoji, shapes, colours and photographs, and who may see which of them."""

from dataclasses import dataclass
from typing import Final, Literal, get_args

Split = Literal["train", "eval"]

# Everyday words, each with the character that OpenMoji draws.
EMOJI: Final[dict[str, str]] = {
    "airplane": "\u2708", "anchor": "\u2693", "apple": "\U0001f34e", "avocado": "\U0001f951", "axe": "\U0001fa93",
    "backpack": "\U0001f392", "bagel": "\U0001f96f", "ball": "\u26bd", "balloon": "\U0001f388", "banana": "\U0001f34c",
    "basket": "\U0001f9fa", "bat": "\U0001f987", "bear": "\U0001f43b", "beaver": "\U0001f9ab", "bed": "\U0001f6cf",
    "bee": "\U0001f41d", "beer": "\U0001f37a", "bicycle": "\U0001f6b2", "bird": "\U0001f426", "bison": "\U0001f9ac",
    "boat": "\u26f5", "bone": "\U0001f9b4", "book": "\U0001f4d5", "boot": "\U0001f462", "bottle": "\U0001f37c",
    "bow": "\U0001f380", "bread": "\U0001f35e", "bridge": "\U0001f309", "broccoli": "\U0001f966",
    "bucket": "\U0001faa3", "burger": "\U0001f354", "bus": "\U0001f68c", "butter": "\U0001f9c8",
    "butterfly": "\U0001f98b", "cactus": "\U0001f335", "cake": "\U0001f382", "camel": "\U0001f42b",
    "camera": "\U0001f4f7", "candy": "\U0001f36c", "canoe": "\U0001f6f6", "car": "\U0001f697", "carrot": "\U0001f955",
    "castle": "\U0001f3f0", "cat": "\U0001f431", "chair": "\U0001fa91", "cheese": "\U0001f9c0", "chicken": "\U0001f414",
    "chocolate": "\U0001f36b", "clock": "\u23f0", "coat": "\U0001f9e5", "cockroach": "\U0001fab3",
    "coconut": "\U0001f965", "computer": "\U0001f4bb", "cookie": "\U0001f36a", "corn": "\U0001f33d",
    "couch": "\U0001f6cb", "cow": "\U0001f42e", "crab": "\U0001f980", "crown": "\U0001f451", "cucumber": "\U0001f952",
    "cup": "\u2615", "deer": "\U0001f98c", "dinosaur": "\U0001f995", "dog": "\U0001f436", "dolphin": "\U0001f42c",
    "donut": "\U0001f369", "door": "\U0001f6aa", "dress": "\U0001f457", "drum": "\U0001f941", "duck": "\U0001f986",
    "eagle": "\U0001f985", "ear": "\U0001f442", "elephant": "\U0001f418", "envelope": "\u2709", "eye": "\U0001f441",
    "factory": "\U0001f3ed", "fire": "\U0001f525", "fish": "\U0001f41f", "flag": "\U0001f6a9", "flamingo": "\U0001f9a9",
    "fly": "\U0001fab0", "fork": "\U0001f374", "fox": "\U0001f98a", "frog": "\U0001f438", "garlic": "\U0001f9c4",
    "ghost": "\U0001f47b", "globe": "\U0001f30d", "glove": "\U0001f9e4", "goat": "\U0001f410", "guitar": "\U0001f3b8",
    "hammer": "\U0001f528", "hamster": "\U0001f439", "hat": "\U0001f3a9", "heart": "\u2764", "hippo": "\U0001f99b",
    "honey": "\U0001f36f", "horse": "\U0001f434", "hospital": "\U0001f3e5", "house": "\U0001f3e0", "key": "\U0001f511",
    "kiwi": "\U0001f95d", "knife": "\U0001f52a", "koala": "\U0001f428", "leaf": "\U0001f343", "lemon": "\U0001f34b",
    "leopard": "\U0001f406", "lion": "\U0001f981", "lipstick": "\U0001f484", "lobster": "\U0001f99e",
    "lock": "\U0001f512", "lollipop": "\U0001f36d", "mango": "\U0001f96d", "map": "\U0001f5fa", "medal": "\U0001f3c5",
    "microphone": "\U0001f3a4", "microscope": "\U0001f52c", "milk": "\U0001f95b", "monkey": "\U0001f435",
    "moon": "\U0001f319", "mosquito": "\U0001f99f", "motorcycle": "\U0001f3cd", "mouse": "\U0001f42d",
    "mushroom": "\U0001f344", "needle": "\U0001faa1", "newspaper": "\U0001f4f0", "octopus": "\U0001f419",
    "onion": "\U0001f9c5", "owl": "\U0001f989", "ox": "\U0001f402", "paintbrush": "\U0001f58c", "palm": "\U0001f334",
    "panda": "\U0001f43c", "parrot": "\U0001f99c", "peach": "\U0001f351", "peacock": "\U0001f99a", "pen": "\U0001f58a",
    "pencil": "\u270f", "penguin": "\U0001f427", "pepper": "\U0001f336", "piano": "\U0001f3b9", "pig": "\U0001f437",
    "pill": "\U0001f48a", "pineapple": "\U0001f34d", "pizza": "\U0001f355", "plug": "\U0001f50c",
    "potato": "\U0001f954", "pumpkin": "\U0001f383", "puzzle": "\U0001f9e9", "rabbit": "\U0001f430",
    "radio": "\U0001f4fb", "rainbow": "\U0001f308", "razor": "\U0001fa92", "rice": "\U0001f35a", "ring": "\U0001f48d",
    "robot": "\U0001f916", "rocket": "\U0001f680", "rooster": "\U0001f413", "rose": "\U0001f339", "salad": "\U0001f957",
    "sandal": "\U0001f461", "sandwich": "\U0001f96a", "saw": "\U0001fa9a", "saxophone": "\U0001f3b7",
    "scarf": "\U0001f9e3", "scorpion": "\U0001f982", "screw": "\U0001f529", "seal": "\U0001f9ad", "sheep": "\U0001f411",
    "shell": "\U0001f41a", "shield": "\U0001f6e1", "shirt": "\U0001f455", "shoe": "\U0001f45e", "shrimp": "\U0001f990",
    "skull": "\U0001f480", "skunk": "\U0001f9a8", "sloth": "\U0001f9a5", "snail": "\U0001f40c", "snake": "\U0001f40d",
    "soap": "\U0001f9fc", "sock": "\U0001f9e6", "spoon": "\U0001f944", "squirrel": "\U0001f43f",
    "strawberry": "\U0001f353", "suitcase": "\U0001f9f3", "sun": "\u2600", "sunflower": "\U0001f33b",
    "swan": "\U0001f9a2", "sword": "\U0001f5e1", "syringe": "\U0001f489", "teapot": "\U0001fad6", "telephone": "\u260e",
    "telescope": "\U0001f52d", "tent": "\u26fa", "thermometer": "\U0001f321", "tiger": "\U0001f42f",
    "toilet": "\U0001f6bd", "tooth": "\U0001f9b7", "tractor": "\U0001f69c", "train": "\U0001f686", "tree": "\U0001f333",
    "trophy": "\U0001f3c6", "tulip": "\U0001f337", "turkey": "\U0001f983", "turtle": "\U0001f422", "umbrella": "\u2602",
    "violin": "\U0001f3bb", "waffle": "\U0001f9c7", "watch": "\u231a", "watermelon": "\U0001f349",
    "whale": "\U0001f433", "wheel": "\U0001f6de", "wolf": "\U0001f43a", "worm": "\U0001fab1", "wrench": "\U0001f527",
}  # fmt: skip

# Drawn and named in evaluation clips alone.
HELD_OUT_EMOJI: Final[dict[str, str]] = {
    "ant": "\U0001f41c", "badger": "\U0001f9a1", "bathtub": "\U0001f6c1", "beetle": "\U0001fab2", "bell": "\U0001f514",
    "boomerang": "\U0001fa83", "brain": "\U0001f9e0", "broom": "\U0001f9f9", "candle": "\U0001f56f", "chain": "\u26d3",
    "cherry": "\U0001f352", "church": "\u26ea", "compass": "\U0001f9ed", "croissant": "\U0001f950",
    "diamond": "\U0001f48e", "dragon": "\U0001f409", "egg": "\U0001f95a", "feather": "\U0001fab6",
    "flashlight": "\U0001f526", "gift": "\U0001f381", "giraffe": "\U0001f992", "gorilla": "\U0001f98d",
    "hedgehog": "\U0001f994", "helicopter": "\U0001f681", "kangaroo": "\U0001f998", "kite": "\U0001fa81",
    "ladder": "\U0001fa9c", "lamp": "\U0001f4a1", "llama": "\U0001f999", "magnet": "\U0001f9f2", "melon": "\U0001f348",
    "mirror": "\U0001fa9e", "mountain": "\u26f0", "otter": "\U0001f9a6", "parachute": "\U0001fa82",
    "pear": "\U0001f350", "phone": "\U0001f4f1", "popcorn": "\U0001f37f", "raccoon": "\U0001f99d",
    "rhino": "\U0001f98f", "ruler": "\U0001f4cf", "satellite": "\U0001f6f0", "scooter": "\U0001f6f4",
    "shark": "\U0001f988", "ship": "\U0001f6a2", "skateboard": "\U0001f6f9", "snowman": "\u26c4",
    "spider": "\U0001f577", "squid": "\U0001f991", "sushi": "\U0001f363", "taco": "\U0001f32e", "taxi": "\U0001f695",
    "television": "\U0001f4fa", "tomato": "\U0001f345", "truck": "\U0001f69a", "trumpet": "\U0001f3ba",
    "unicorn": "\U0001f984", "volcano": "\U0001f30b", "window": "\U0001fa9f", "zebra": "\U0001f993",
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


@dataclass(frozen=True)
class Photograph:
    """A photograph that clips have as their background.

    Attributes:
        scene: what it shows, in a word that questions use.
        names: emoji that it may be taken to show; these are then neither drawn nor offered.
    """

    scene: str
    names: tuple[str, ...] = ()


PHOTOGRAPHS: Final[dict[Split, dict[str, Photograph]]] = {
    "train": {
        "astronaut.png": Photograph("woman", ("rocket", "flag", "shield", "medal")),
        "brick.png": Photograph("wall"),
        "camera.png": Photograph("man", ("camera", "telescope", "coat", "microscope")),
        "coffee.png": Photograph("coffee", ("cup", "spoon")),
        "coins.png": Photograph("coins", ("medal", "cookie")),
        "grass.png": Photograph("grass"),
        "hubble_deep_field.jpg": Photograph("stars", ("telescope", "sun")),
        "ihc.png": Photograph("cells"),
        "motorcycle_left.png": Photograph("motorcycle", ("bicycle", "motorcycle", "scooter", "wheel")),
        "rocket.jpg": Photograph("rocket", ("rocket", "fire", "volcano")),
    },
    "eval": {
        "chelsea.png": Photograph("cat", ("cat", "tiger", "lion", "leopard")),
        "china.jpg": Photograph("building", ("house", "tree", "castle", "church", "hospital", "factory")),
        "flower.jpg": Photograph("flower", ("rose", "sunflower", "tulip")),
        "gravel.png": Photograph("stones", ("mountain",)),
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

MOVES: Final = "moves"
ACTIONS: Final = (MOVES, "shakes", "jumps", "spins", "grows", "vanishes")
"""What a thing may do; what vanishes is back soon after."""

ChangeKind = Literal["appears", "disappears", "turns"]
CHANGES: Final[tuple[ChangeKind, ...]] = get_args(ChangeKind)
"""What may happen to a thing for good; what turns has another colour then."""

PACES: Final = ("barely", "slowly", "steadily", "quickly", "fast")
