"""The client for asyncio: the names of `backlit`, awaited.

async with backlit.aio.connect("localhost:50051") as server:
    model = await server.upload("model.onnx", name="demo")
    results = await model.explain("cat.jpg", target="top5")
    async for partial in model.stream("cat.jpg", "rise"): ...
"""

from backlit.aio.model import Model
from backlit.aio.server import Server, connect

__all__ = ["Model", "Server", "connect"]
