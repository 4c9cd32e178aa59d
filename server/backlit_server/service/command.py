"""The command: settings in, a listening server out."""

import asyncio
import sys
from collections.abc import Mapping, Sequence

from backlit_proto.errors import BacklitError
from backlit_server.admission.launcher import Launcher
from backlit_server.command_line import read_command, shown
from backlit_server.service import logs, preloading
from backlit_server.service.allocator import keep_freed_memory
from backlit_server.service.server import serve
from backlit_server.settings import BadSettings
from backlit_server.workers.pool import Pool

CANNOT_RUN, BAD_SETTINGS = 1, 2


def run(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """Serves until told to stop; the exit status."""
    try:
        command = read_command(arguments, environment)
        if command.show_config:
            print(shown(command))
            return 0
        logs.configure(command.settings.log_format, command.settings.log_level)
        keep_freed_memory()
        settings = preloading.found(command.settings)
        asyncio.run(serve(settings, Pool(settings), Launcher()))
    except BadSettings as error:
        return _said(error, BAD_SETTINGS)
    except BacklitError as error:
        return _said(error, CANNOT_RUN)
    return 0


def _said(error: Exception, status: int) -> int:
    print(f"backlit-server: {' '.join(str(error).split())}", file=sys.stderr)
    return status
