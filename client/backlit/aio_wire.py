"""The shell that does what the flows say, on an event loop."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Iterable
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf.message import Message
from grpc import aio

from backlit.endpoint import Endpoint
from backlit.flows import Call, Flow, Pause, T
from backlit.wire import Deadline, Guarded, failure, guarded, procedures
from backlit_proto.errors import BacklitError
