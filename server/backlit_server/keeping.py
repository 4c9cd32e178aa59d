"""What workers keep for the next questions: the part of the settings that they hand on to their engines."""

from dataclasses import dataclass, field, fields, replace
from typing import Self

from backlit_server.limits import memory

MB, GB = 1 << 20, 1 << 30


def half_of_memory() -> int:
    """Half of the memory of this machine or container, in megabytes: the rest is for what runs."""
    return memory() // 2 // MB


@dataclass(frozen=True)
class Keeping:
    """`memory`: megabytes for open models, sessions and features; `cache_gb`: for optimised graphs, on disk.

    `features_mb`: of the memory, for forward passes that further questions about the same images share. `preload`: how
    many models are opened at the start, those used last, or the digests of which, with commas.
    """

    memory: int = field(default_factory=half_of_memory)
    features_mb: int = 256
    cache_gb: int = 10
    preload: int | str = 4

    @property
    def bytes(self) -> int:
        return self.memory * MB

    @property
    def bytes_of_features(self) -> int:
        return self.features_mb * MB

    @property
    def bytes_on_disk(self) -> int:
        return self.cache_gb * GB

    @classmethod
    def of(cls, settings: object) -> Self:
        """What settings say of it."""
        return cls(**{named.name: getattr(settings, named.name) for named in fields(cls)})

    def shared_by(self, workers: int) -> Self:
        """What each of so many workers may keep."""
        return replace(self, memory=max(1, self.memory // workers))
