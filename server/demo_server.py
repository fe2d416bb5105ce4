"""A server for ``sangha demo``: the running one, or one that is started for as long as the demo lasts."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from urllib.parse import urlsplit

from rich.console import Console

from server.cli_common import Found
from server.settings import Settings


@contextlib.contextmanager
def running_server(settings: Settings | None, found: Found) -> Iterator[Found]:
    """A server that runs. ``settings`` None: it is known to."""
    if settings is None or _listens(found.host, found.port):
        yield found
        return
    console = Console(stderr=True)
    with tempfile.TemporaryDirectory(prefix="sangha-demo-") as data_dir:
        os.chmod(data_dir, 0o755)  # the embedded Postgres has a user of its own, who must get through
        command = [sys.executable, "-m", "server.cli", "serve", "--guests", "--port", "0", "--data-dir", data_dir]
        environment = os.environ | {"SANGHA_LOG_LEVEL": "warning"}
        # A session of its own: Ctrl-C is the demo's, which leaves the space first and then ends the server.
        with console.status("no server runs; starting one"):
            process = subprocess.Popen(
                command, stdout=subprocess.PIPE, text=True, env=environment, start_new_session=True
            )
            assert process.stdout is not None
            line = process.stdout.readline()
        try:
            if not line.startswith("ready "):
                raise OSError("the server did not start; see above")
            started = urlsplit(line.split()[1])
            yield Found(started.hostname or "", started.port or 0, settings.tls_certificate)
        finally:
            process.send_signal(signal.SIGTERM)
            with console.status("stopping the server"):
                process.wait(timeout=60)


def _listens(host: str, port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection((host, port), timeout=1):
        return True
    return False
