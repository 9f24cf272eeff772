"""RabbitMQ, and the port mapper of Erlang that it needs."""

from __future__ import annotations

from pathlib import Path

from tests.brokers.process import Process, free_port
from tests.brokers.server import Server, find
from tests.brokers.tls import Tls, connected
from tests.waiting import wait_until

_CONFIGURATION = """
# Its default would have it take no messages where a disk is rather full.
disk_free_limit.absolute = 10MB
"""
_LISTENER = """
listeners.tcp.default = 127.0.0.1:{port}
"""
_LISTENER_OF_TLS = """
listeners.tcp = none
listeners.ssl.default = 127.0.0.1:{port}
ssl_options.certfile = {tls.certificate}
ssl_options.keyfile = {tls.key}
ssl_options.cacertfile = {tls.authority}
ssl_options.verify = verify_none
"""

_NODE = "tests@localhost"
_PROTOCOL_HEADER = b"AMQP\x00\x00\x09\x01"
_METHOD_FRAME = b"\x01"


class RabbitmqServer(Server):
    """`rabbitmq-server`, a cluster of one node; a quorum queue on it has one replica.

    It runs as the user of the tests, with all of its files in its folder and a port mapper of its
    own, so the user `rabbitmq` and a server that this machine may have otherwise are left alone.

    Args:
        tls: with what it speaks TLS, and nothing else.
    """

    def __init__(self, tls: Tls | None = None) -> None:
        # The program on Debian's path would change the user; this is the one that it calls.
        on_path = Path(find("rabbitmq-server", "rabbitmq-server")).resolve()
        self._program = on_path.with_name("rabbitmq-server")
        self._mapper_program = find("epmd", "rabbitmq-server")
        super().__init__()
        self._port, self._mapper_port, self._nodes_port = (free_port() for _ in range(3))
        self._mapper: Process | None = None
        self._tls = tls
        scheme, listener = ("amqp", _LISTENER) if tls is None else ("amqps", _LISTENER_OF_TLS)
        self.url = f"{scheme}://guest:guest@127.0.0.1:{self._port}/"
        configuration = _CONFIGURATION + listener.format(port=self._port, tls=tls)
        (self.folder / "rabbitmq.conf").write_text(configuration)
        (self.folder / "enabled_plugins").write_text("[].\n")
        (self.folder / "environment").touch()

    def launch(self) -> None:
        if self._mapper is None or self._mapper.status is not None:
            # Else RabbitMQ starts one that outlives it.
            command = [self._mapper_program, "-address", "127.0.0.1", "-port", self._mapper_port]
            self._mapper = Process([str(word) for word in command], self.folder / "epmd.log")
        super().launch()

    def wait_until_recorded(self, queue: str) -> None:
        """Wait until a quorum queue that was just declared outlives a kill.

        For up to half a second it doesn't: its name isn't written to the disk yet, and what was
        confirmed is lost with it (rabbitmq/ra#443, mended in later versions than Debian's).
        """
        names = self.folder / "data" / _NODE / "quorum" / _NODE / "names.dets"
        wait_until(lambda: f"_{queue}".encode() in names.read_bytes())

    def close(self) -> None:
        self.kill()
        if self._mapper is not None:
            self._mapper.end()
        super().close()

    def _command(self) -> list[str | Path]:
        return [self._program, "-noinput"]

    def _environment(self) -> dict[str, str]:
        return {
            "HOME": str(self.folder),  # of Erlang's cookie
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_EPMD_PORT": str(self._mapper_port),
            # The script becomes the server, instead of minding a child that outlives its SIGKILL.
            "RABBITMQ_ALLOW_INPUT": "1",
            "RABBITMQ_CONF_ENV_FILE": str(self.folder / "environment"),
            "RABBITMQ_CONFIG_FILE": str(self.folder / "rabbitmq.conf"),
            "RABBITMQ_DIST_PORT": str(self._nodes_port),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.folder / "enabled_plugins"),
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_LOG_BASE": str(self.folder),  # of a log of upgrades, and crash dumps
            "RABBITMQ_MNESIA_BASE": str(self.folder / "data"),
            "RABBITMQ_NODENAME": _NODE,
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-start_epmd false "
            "-kernel inet_dist_use_interface {127,0,0,1} "
            # Its schedulers sleep as soon as they have nothing to do.
            "+sbwt none +sbwtdcpu none +sbwtdio none",
        }

    def _is_ready(self) -> bool:
        with connected(self._port, self._tls) as connection:
            connection.sendall(_PROTOCOL_HEADER)
            return connection.recv(1) == _METHOD_FRAME
