"""The classes of CIFAR in the order of their labels, and the flips of asymmetric noise."""

from __future__ import annotations

CIFAR10_CLASSES = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)

# Similar classes; the other five classes keep their labels.
CIFAR10_CONFUSIONS = {
    "truck": "automobile",
    "bird": "airplane",
    "cat": "dog",
    "dog": "cat",
    "deer": "horse",
}

# Twenty superclasses of five fine classes each, both in the order of their labels.
# Source: A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009.
CIFAR100_SUPERCLASSES = {
    "aquatic_mammals": ("beaver", "dolphin", "otter", "seal", "whale"),
    "fish": ("aquarium_fish", "flatfish", "ray", "shark", "trout"),
    "flowers": ("orchid", "poppy", "rose", "sunflower", "tulip"),
    "food_containers": ("bottle", "bowl", "can", "cup", "plate"),
    "fruit_and_vegetables": ("apple", "mushroom", "orange", "pear", "sweet_pepper"),
    "household_electrical_devices": ("clock", "keyboard", "lamp", "telephone", "television"),
    "household_furniture": ("bed", "chair", "couch", "table", "wardrobe"),
    "insects": ("bee", "beetle", "butterfly", "caterpillar", "cockroach"),
    "large_carnivores": ("bear", "leopard", "lion", "tiger", "wolf"),
    "large_man-made_outdoor_things": ("bridge", "castle", "house", "road", "skyscraper"),
    "large_natural_outdoor_scenes": ("cloud", "forest", "mountain", "plain", "sea"),
    "large_omnivores_and_herbivores": ("camel", "cattle", "chimpanzee", "elephant", "kangaroo"),
    "medium_mammals": ("fox", "porcupine", "possum", "raccoon", "skunk"),
    "non-insect_invertebrates": ("crab", "lobster", "snail", "spider", "worm"),
    "people": ("baby", "boy", "girl", "man", "woman"),
    "reptiles": ("crocodile", "dinosaur", "lizard", "snake", "turtle"),
    "small_mammals": ("hamster", "mouse", "rabbit", "shrew", "squirrel"),
    "trees": ("maple_tree", "oak_tree", "palm_tree", "pine_tree", "willow_tree"),
    "vehicles_1": ("bicycle", "bus", "motorcycle", "pickup_truck", "train"),
    "vehicles_2": ("lawn_mower", "rocket", "streetcar", "tank", "tractor"),
}

# The fine labels are the names in alphabetical order.
CIFAR100_CLASSES = tuple(sorted(name for five in CIFAR100_SUPERCLASSES.values() for name in five))

# Each fine class flips to the next class of its superclass, the last one to the first.
CIFAR100_CONFUSIONS = {
    name: five[(place + 1) % len(five)]
    for five in CIFAR100_SUPERCLASSES.values()
    for place, name in enumerate(five)
}

# By the number of classes: their names, and the target of each flipped class.
ASYMMETRIC = {
    10: (CIFAR10_CLASSES, CIFAR10_CONFUSIONS),
    100: (CIFAR100_CLASSES, CIFAR100_CONFUSIONS),
}
