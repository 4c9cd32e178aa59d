"""One who uploads models that the server does not have, by the Python client alone, driven by pairs.py."""

import argparse
import os
import sys
from pathlib import Path

import backlit

sys.path.insert(0, str(Path(__file__).parent))
from pairs import serve

DOC_STRING = b"\x32\x10"  # a field of ModelProto, 16 bytes long: what comes behind a message is merged into it


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("address")
    parser.add_argument("model", type=Path)
    arguments = parser.parse_args()
    data = arguments.model.read_bytes()
    with backlit.connect(arguments.address) as server:
        serve(lambda: server.upload(data + DOC_STRING + os.urandom(8).hex().encode()).delete())


if __name__ == "__main__":
    main()
