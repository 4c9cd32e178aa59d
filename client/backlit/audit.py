"""Every method asked of every picture, over one stream, and what is measured of the answers."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from backlit.answers import Explanation
from backlit.comparison import Comparison, Value, Wanted, list_digest, values_of
from backlit.model import Model
from backlit.progress import shown
from backlit_proto.errors import BacklitError

TIMED = "seconds"
WARMING = 1e-3  # seconds for a method of many passes: enough to open what it needs

Sheet = dict[Path, dict[str, Explanation]]
"""The first explanations of the first pictures, by method."""


@dataclass
class Audit:
    """The questions, and what has come of them so far; the mutable part is `values`, `sheet` and `errors`."""

    model: Model
    methods: Sequence[Wanted]
    measures: Sequence[Wanted]
    question: Mapping[str, object]
    most: int
    values: list[Value] = field(default_factory=list)
    sheet: Sheet = field(default_factory=dict)
    errors: dict[Path, BacklitError] = field(default_factory=dict)

    def run(
        self, pictures: Sequence[Path], unreadable: Mapping[str, str], better: Mapping[str, str]
    ) -> tuple[Comparison, Sheet]:
        """The comparison over the pictures that every method answered; the error of the first, where there is none."""
        if TIMED in {one.name for one in self.measures}:
            self._warm(pictures[:1])
        with shown("comparing") as report:
            asked = len(pictures) * len(self.methods)
            for done, (picture, method, found) in enumerate(self._answers(pictures), 1):
                self._take(picture, method, found)
                report(done, asked)
        answered = [picture for picture in pictures if picture not in self.errors]
        if not answered and self.errors:
            raise next(iter(self.errors.values()))
        return self._comparison(answered, unreadable, better), {p: self.sheet[p] for p in answered if p in self.sheet}

    def _warm(self, pictures: Sequence[Path]) -> None:
        """Has the server open all it needs, which takes longer than what is timed."""
        for picture in pictures:
            for one in self.methods:
                self.model.explain(picture, one.name, **{**self.question, "time_limit": WARMING, **one.parameters})

    def _answers(self, pictures: Sequence[Path]) -> Iterator[tuple[Path, Wanted, list[Explanation] | BacklitError]]:
        asked = [(picture, one) for picture in pictures for one in self.methods]
        measures = [(one.name, one.parameters) for one in self.measures]
        common = {**self.question, "measures": measures}
        items = ({"inputs": picture, **common, "method": one.name, **one.parameters} for picture, one in asked)
        for (picture, one), (_, found) in zip(asked, self.model.explain_many(items), strict=True):
            yield picture, one, found

    def _take(self, picture: Path, method: Wanted, found: list[Explanation] | BacklitError) -> None:
        if isinstance(found, BacklitError):
            if picture not in self.errors:
                print(f"skipped {picture}: {method.label}: {found}", file=sys.stderr)
            self.errors.setdefault(picture, found)
            return
        self.values.extend(values_of(str(picture), method.label, self.measures, found))
        if picture in self.sheet or len(self.sheet) < self.most:
            self.sheet.setdefault(picture, {})[method.label] = found[0]

    def _comparison(
        self, answered: Sequence[Path], unreadable: Mapping[str, str], better: Mapping[str, str]
    ) -> Comparison:
        names = [str(picture) for picture in answered]
        return Comparison(
            model=self.model.digest,
            methods=[one.label for one in self.methods],
            measures=[one.label for one in self.measures],
            better=better,
            pictures=names,
            skipped={**unreadable, **{str(picture): str(error) for picture, error in self.errors.items()}},
            images=list_digest(answered),
            values=[value for value in self.values if value.picture in set(names)],
        )
