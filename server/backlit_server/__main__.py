"""backlit-server: settings in, a listening server out."""

import asyncio
import os
import sys

from backlit_proto.errors import BacklitError

from backlit_server.admission.launcher import Launcher
from backlit_server.service import logs
from backlit_server.service.server import serve
from backlit_server.settings import BadSettings, read_command, shown
from backlit_server.workers.pool import Pool


def main() -> int:
    """Serves until told to stop; the exit status is 2 for settings that do not fit, 1 for a server that cannot run."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    try:
        command = read_command(sys.argv[1:], os.environ)
        if command.show_config:
            print(shown(command))
            return 0
        logs.configure(command.settings.log_format, command.settings.log_level)
        asyncio.run(serve(command.settings, Pool(command.settings), Launcher()))
    except (BadSettings, BacklitError) as error:
        print(f"backlit-server: {error}", file=sys.stderr)
        return 2 if isinstance(error, BadSettings) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
