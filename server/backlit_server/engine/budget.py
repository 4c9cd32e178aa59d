"""What is kept open for the next questions, by least recent use, within so many bytes."""

from collections import Counter, OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from backlit_proto.errors import Overloaded

MB = 1 << 20


class Key(NamedTuple):
    """What is kept (model, session, features), of which model, and which one."""

    kind: str
    owner: str
    name: str = ""


@dataclass(frozen=True)
class Size:
    """Bytes of its own, and by name those of what it may hold together with others."""

    own: int
    shared: Mapping[str, int] = field(default_factory=dict)

    @property
    def alone(self) -> int:
        """What it takes when nobody shares with it."""
        return self.own + sum(self.shared.values())


class Budget:
    """Values by key; what was asked for longest ago goes first, what is shared counts once.

    Only the reference is dropped: who still works with a value that went keeps it alive. `shares` are limits of single
    kinds, within the `limit` for all.
    """

    def __init__(self, limit: int, shares: Mapping[str, int] | None = None) -> None:
        self.limit = limit
        self.used = 0
        self._shares = shares or {}
        self._kept: OrderedDict[Key, tuple[Any, Size]] = OrderedDict()  # values of any kind
        self._holders: Counter[str] = Counter()
        self._by_kind: Counter[str] = Counter()
        self._entries: Counter[str] = Counter()
        self._hits: Counter[str] = Counter()
        self._misses: Counter[str] = Counter()
        self._evictions: Counter[str] = Counter()

    def get(self, key: Key) -> Any:
        """The value, None where there is none; from now on it was used last."""
        if key not in self._kept:
            self._misses[key.kind] += 1
            return None
        self._hits[key.kind] += 1
        self._kept.move_to_end(key)
        return self._kept[key][0]

    def keep(self, key: Key, value: Any, size: Size) -> None:
        """Keeps a value as the one used last; others go for it. Overloaded when it alone is more than the limit."""
        self.check(size.alone, f"this {key.kind}")
        self.drop(key)
        self._kept[key] = value, size
        self._count(key, size)
        share = self.share(key.kind)
        while self._by_kind[key.kind] > share and (oldest := self._oldest(key.kind)):
            self._evict(oldest)
        while self.used > self.limit:
            self._evict(next(iter(self._kept)))

    def check(self, needed: int, what: str) -> None:
        """Overloaded, with the figures, where so many bytes can never be kept."""
        if needed > self.limit:
            raise Overloaded(
                f"{what} needs {_mb(needed)} MB of memory, and {_mb(self.limit)} MB are all that a worker may keep: "
                "start the server with a larger --memory, or use a smaller or quantised model",
                needed_bytes=str(needed),
                limit_bytes=str(self.limit),
            )

    def share(self, kind: str) -> int:
        """How much there may be of a kind."""
        return min(self._shares.get(kind, self.limit), self.limit)

    def own(self, key: Key) -> int:
        """The bytes of its own that are counted under this key so far."""
        return self._kept[key][1].own if key in self._kept else 0

    def grow(self, key: Key, more: int) -> None:
        """What is kept under this key, now or next, takes more bytes of its own."""
        value, size = self._kept.get(key, (None, Size(0)))
        self.keep(key, value, Size(size.own + more, size.shared))

    def drop(self, key: Key) -> None:
        """Lets go of a value; nothing happens where there is none."""
        if key in self._kept:
            _, size = self._kept.pop(key)
            self._by_kind[key.kind] -= size.own
            self._entries[key.kind] -= 1
            self.used -= size.own
            for name, nbytes in size.shared.items():
                self._holders[name] -= 1
                if not self._holders[name]:
                    del self._holders[name]
                    self.used -= nbytes

    def forget(self, owner: str) -> None:
        """Lets go of all that belongs to a model."""
        for key in [key for key in self._kept if key.owner == owner]:
            self.drop(key)

    def figures(self) -> list[tuple[str, float] | tuple[str, str, float]]:
        """What is kept and how often it was there, from any thread: a metric's name, the kind, the value."""
        counted = {
            "backlit_cache_entries": self._entries,
            "backlit_cache_hits_total": self._hits,
            "backlit_cache_misses_total": self._misses,
            "backlit_cache_evictions_total": self._evictions,
        }
        rows = [(name, kind, count) for name, counts in counted.items() for kind, count in counts.copy().items()]
        return [("backlit_cache_bytes", self.used), ("backlit_cache_limit_bytes", self.limit), *rows]

    def _evict(self, key: Key) -> None:
        self._evictions[key.kind] += 1
        self.drop(key)

    def _count(self, key: Key, size: Size) -> None:
        self._by_kind[key.kind] += size.own
        self._entries[key.kind] += 1
        self.used += size.own
        for name, nbytes in size.shared.items():
            self.used += 0 if self._holders[name] else nbytes
            self._holders[name] += 1

    def _oldest(self, kind: str) -> Key | None:
        return next((key for key in self._kept if key.kind == kind), None)


def _mb(nbytes: int) -> int:
    return -(-nbytes // MB)
