"""Uploaded models by digest, on disk: a model is there whole or not at all, whatever dies when."""

from backlit_server.store.names import check_name
from backlit_server.store.store import Store
from backlit_server.store.upload import Upload

__all__ = ["Store", "Upload", "check_name"]
