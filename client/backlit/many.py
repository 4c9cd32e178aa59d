"""The bookkeeping of a stream of questions: what was asked, what came back, in the order of the items."""

from collections import deque
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from backlit.answers import Explanation, read_finals
from backlit.models import StoredModel
from backlit.questions import explain_request
from backlit.refusals import from_status
from backlit_proto import backlit_pb2 as pb
from backlit_proto.errors import BacklitError, BadQuestion

Result = tuple[Hashable, list[Explanation] | BacklitError]


@dataclass(frozen=True)
class Item:
    """A question of the caller's: `error` is set when it could not even be asked."""

    identity: Hashable
    wire: str
    error: BacklitError | None = None


@dataclass
class Conversation:
    """What is open between the caller's items and the server's answers; the one mutable thing, one a stream."""

    model: StoredModel
    options: Mapping[str, object]
    open: deque[Item] = field(default_factory=deque)
    maps: list[Explanation] = field(default_factory=list)
    count: int = 0

    def ask(self, given: object) -> pb.ExplainManyRequest | None:
        """The message for the caller's next item; None when the item is wrong in itself, which its result will say."""
        item = Item(self.count, str(self.count))
        self.count += 1
        try:
            identity, inputs, options = split(given, item.identity)
            item = replace(item, identity=identity)
            request = explain_request(self.model, inputs, **{**self.options, **options})  # type: ignore[arg-type]  # by name
        except BacklitError as error:
            self.open.append(replace(item, error=error))
            return None
        self.open.append(item)
        return pb.ExplainManyRequest(item=item.wire, request=request)

    def answer(self, response: pb.ExplainManyResponse) -> Iterator[Result]:
        """The results that an answer completes: its own item, and before it those that could not be asked."""
        if response.WhichOneof("event") == "response":
            self.maps.extend(read_finals([response.response]))
            return
        while self.open and self.open[0].wire != response.item:
            yield from self._unasked()
        done, maps = self.open.popleft(), self.maps
        self.maps = []
        yield done.identity, maps if response.status.code == 0 else from_status(response.status)

    def rest(self) -> Iterator[Result]:
        """What is left when the server has answered everything it was asked."""
        while self.open:
            yield from self._unasked()

    def _unasked(self) -> Iterator[Result]:
        item = self.open.popleft()
        yield item.identity, item.error or BadQuestion("the server gave no answer to this item")


def split(given: object, number: Hashable) -> tuple[Hashable, object, dict[str, object]]:
    """Identity, inputs and options of an item: inputs, (id, inputs), or {"id":, "inputs":, "target":, ...}."""
    if isinstance(given, Mapping) and "inputs" in given:
        options = dict(given)
        return options.pop("id", number), options.pop("inputs"), options
    if isinstance(given, tuple) and len(given) == 2 and isinstance(given[0], str | int):
        return given[0], given[1], {}
    return number, given, {}
