"""What all brokers of the tests have in common."""

from __future__ import annotations

import os
import shutil
import signal
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.brokers.process import Process, make_folder, remove_folder


class MissingBroker(Exception):
    """The broker isn't installed; the message says how to get it."""


class BrokerDidNotStart(Exception):
    """The message ends with the broker's own words."""


def find(program: str, package: str) -> str:
    """Return where a program of a Debian package is.

    Raises:
        MissingBroker: it's nowhere.
    """
    # Debian's servers are not on every user's path.
    found = shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if found is None:
        raise MissingBroker(
            f"{program} is not installed; "
            f"on Debian: apt-get install --no-install-recommends {package}"
        )
    return found


class Server:
    """A broker on free ports of the loopback interface, which ends with this process.

    Its data and its address stay while it is stopped or killed, until the end of the `with` block.
    A kind of broker says with what command it starts, and how it is asked whether it is ready.

    Attributes:
        url: the address, as FastStream's broker takes it.
        folder: where all of its files are.
    """

    url: str
    patience = 60.0  # seconds for a start
    patience_at_the_end = 20.0  # seconds

    def __init__(self) -> None:
        self.folder = make_folder()
        self._process: Process | None = None

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.close()
            raise

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def start(self) -> Self:
        """Start it and return once it's ready; a running one is only resumed.

        Raises:
            BrokerDidNotStart: it ended, or isn't ready after `patience` seconds; it is killed then.
        """
        self.launch()
        try:
            self.wait_until_ready()
        except BaseException:
            self.kill()
            raise
        return self

    def launch(self) -> None:
        """Start it without waiting for it; a running one is only resumed."""
        if self._process is not None and self._process.status is None:
            self.resume()
        else:
            self.kill()
            self._process = Process(self._command(), self._log, self._environment(), self.folder)

    def wait_until_ready(self) -> None:
        deadline = time.monotonic() + self.patience
        while not self._asked():
            process = self._process
            if process is None or process.status is not None or time.monotonic() > deadline:
                raise BrokerDidNotStart(f"{self._command()[0]} didn't start:\n{self._last_words()}")
            time.sleep(0.02)  # between two looks at the broker, which has no event for it

    def stop(self) -> None:
        """Ask it to end, and wait until it has."""
        if self._process is not None:
            self._process.end(self.patience_at_the_end)
            self._process = None

    def kill(self) -> None:
        """End it at once (SIGKILL), whether it's paused or not."""
        if self._process is not None:
            self._process.end()
            self._process = None

    def pause(self) -> None:
        """Let it hang: its connections stay open, and nothing answers."""
        assert self._process is not None
        self._process.pause()

    def resume(self) -> None:
        """Let a paused one go on (SIGCONT); a running one is left alone."""
        assert self._process is not None
        self._process.signal(signal.SIGCONT)

    def close(self) -> None:
        """Kill it, and remove its files."""
        self.kill()
        remove_folder(self.folder)

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.status is None

    @property
    def _log(self) -> Path:
        return self.folder / "log"

    def _last_words(self) -> str:
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-20:])

    def _asked(self) -> bool:
        with suppress(OSError):
            return self._is_ready()
        return False

    def _command(self) -> list[str | Path]:
        raise NotImplementedError

    def _environment(self) -> dict[str, str]:
        return {}

    def _is_ready(self) -> bool:
        """Ask it once; an OSError is a no."""
        raise NotImplementedError
