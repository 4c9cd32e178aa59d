"""Models that are to be ready before anybody asks, found when the server starts."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace

from backlit_proto.errors import BadQuestion, UnknownModel
from backlit_server.service.server import opened
from backlit_server.settings import Settings
from backlit_server.store import Store

LOG = logging.getLogger(__name__)


def found(settings: Settings) -> Settings:
    """The settings with digests where `preload` has names. What the store lacks is told in the log, and no more.

    As TorchServe does it (load_models): a model may be uploaded at any time, and without it the others are served.
    """
    if isinstance(settings.preload, int):
        return settings
    return replace(settings, preload=",".join(_digests(settings.preload.split(","), opened(settings))) or 0)


def _digests(references: Sequence[str], store: Store) -> Iterator[str]:
    for reference in references:
        try:
            yield store.resolve(reference)
        except (BadQuestion, UnknownModel) as error:
            LOG.warning("--preload: %s; it is opened when it is first asked for", error)
