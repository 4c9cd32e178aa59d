"""One caller of a server, by the Python client alone, driven by pairs.py."""

import argparse
import sys
from pathlib import Path

import numpy as np

import backlit

sys.path.insert(0, str(Path(__file__).parent))
from pairs import serve

METHOD = "grad-cam"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("address")
    parser.add_argument("model", help="its name on the server")
    parser.add_argument("--class-index", type=int, help="default: the best")
    arguments = parser.parse_args()
    target = {} if arguments.class_index is None else {"target": arguments.class_index}
    x = np.random.default_rng(0).normal(size=(1, 3, 224, 224)).astype(np.float32)
    with backlit.connect(arguments.address) as server:
        model = server.model(arguments.model)
        serve(lambda: model.explain(x, method=METHOD, **target))


if __name__ == "__main__":
    main()
