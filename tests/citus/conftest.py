"""A store that is distributed with Citus, and the nodes of its cluster."""

from __future__ import annotations

import os
from collections.abc import Iterator
from uuid import uuid4

import pytest
from sqlalchemy import URL, Engine, NullPool, create_engine, make_url, text

from mdb_sqla import migrations
from mdb_sqla.tables import SCHEMA


class Cluster:
    """A distributed store in a schema of its own.

    Attributes:
        schema: the schema.
        nodes: engines for all nodes, the coordinator first; an application may use any of them.
    """

    def __init__(self, schema: str, coordinator: URL) -> None:
        self.schema = schema
        with create_engine(coordinator, poolclass=NullPool).connect() as connection:
            workers = connection.execute(
                text(
                    "SELECT nodename, nodeport FROM pg_dist_node "
                    "WHERE groupid > 0 AND noderole = 'primary' ORDER BY nodeid"
                )
            ).all()
        urls = [coordinator, *(coordinator.set(host=host, port=port) for host, port in workers)]
        options = {"schema_translate_map": {SCHEMA: schema}}
        self.nodes = [
            create_engine(url, execution_options=options, poolclass=NullPool) for url in urls
        ]

    @property
    def coordinator(self) -> Engine:
        return self.nodes[0]

    @property
    def workers(self) -> list[Engine]:
        return self.nodes[1:]

    def worker_of(self, category: str) -> Engine:
        """The node with the messages of a category."""
        with self.coordinator.connect() as connection:
            port = connection.scalar(
                text(
                    "SELECT nodeport FROM pg_dist_shard_placement WHERE shardid = "
                    "get_shard_id_for_distribution_column("
                    "CAST(:messages AS regclass), CAST(:category AS text))"
                ),
                {"messages": f"{self.schema}.messages", "category": category},
            )
        (node,) = (node for node in self.workers if node.url.port == port)
        return node

    def move(self, category: str) -> None:
        """Move the messages of a category to another worker."""
        of = self.worker_of(category)
        to = next(node for node in self.workers if node is not of)
        with self.coordinator.connect() as connection:
            connection.execute(
                text(
                    "SELECT citus_move_shard_placement(get_shard_id_for_distribution_column("
                    "CAST(:messages AS regclass), CAST(:category AS text)), "
                    "CAST(:host AS text), :port, CAST(:to_host AS text), :to_port, 'force_logical')"
                ),
                {
                    "messages": f"{self.schema}.messages",
                    "category": category,
                    "host": of.url.host,
                    "port": of.url.port,
                    "to_host": to.url.host,
                    "to_port": to.url.port,
                },
            )
            connection.commit()


@pytest.fixture(scope="session")
def citus_url(request: pytest.FixtureRequest) -> URL:
    url = request.config.getoption("--citus") or os.environ.get("MDB_CITUS_URL")
    if not url:
        pytest.skip("Needs a Citus cluster with two workers: --citus URL of its coordinator")
    return make_url(url).set(drivername="postgresql+psycopg")


@pytest.fixture(scope="session")
def cluster(citus_url: URL) -> Iterator[Cluster]:
    schema = f"mdb_sqla_{uuid4().hex[:8]}"
    coordinator = create_engine(citus_url, poolclass=NullPool)
    migrations.upgrade(coordinator, schema=schema, citus=True)
    yield Cluster(schema, citus_url)
    with coordinator.begin() as connection:
        connection.execute(text(f"DROP SCHEMA {schema} CASCADE"))


@pytest.fixture
def category() -> str:
    """A category of the test's own."""
    return f"account{uuid4().hex[:8]}"


@pytest.fixture(params=[0, 1, 2], ids=["coordinator", "worker", "other worker"])
def node(request: pytest.FixtureRequest, cluster: Cluster) -> Engine:
    position: int = request.param
    return cluster.nodes[position]
