"""What is said aloud where the preprocessing of pictures was not declared but assumed."""

import sys
from collections.abc import Sequence

from backlit.provenance import Provenance

ASSUMED = """\
CAUTION: nobody said how pictures are prepared for this model. Assumed: {preprocessing}.
If that is wrong, so are the maps. Say it with --preset (`backlit methods` lists them), or --mean and --std."""


def caution(told: Sequence[Provenance]) -> None:
    """Says on stderr, once, what was assumed."""
    if assumed := [p for p in told if p.preprocessing_assumed]:
        print(ASSUMED.format(preprocessing=assumed[0].preprocessing), file=sys.stderr)
