"""What an engine runs, as it is noted while a test looks on."""

from dataclasses import dataclass, field

import pytest

from backlit_server.engine.runtime import Session


@dataclass
class Runs:
    """`passes`: the digest of each forward pass, and how many images go at once; `heads`: that of each other run."""

    passes: list[tuple[str, int]] = field(default_factory=list)
    heads: list[str] = field(default_factory=list)

    @property
    def images(self) -> list[int]:
        return [images for _, images in self.passes]

    def clear(self) -> None:
        self.passes.clear()
        self.heads.clear()

    def note(self, monkeypatch: pytest.MonkeyPatch) -> "Runs":
        """From here on."""
        run = Session.run

        def noted(session: Session, *given) -> dict:
            if session.digest not in dict(self.passes):
                self.heads.append(session.digest)
            return run(session, *given)

        monkeypatch.setattr(Session, "ran", lambda session, images: self.passes.append((session.digest, images)))
        monkeypatch.setattr(Session, "run", noted)
        return self
