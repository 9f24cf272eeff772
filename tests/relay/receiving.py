"""What has arrived at a broker, for tests that are written once for all of them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol, cast
from uuid import uuid4

import nats
from aio_pika import connect
from aio_pika.abc import AbstractIncomingMessage
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from confluent_kafka.admin import AdminClient
from faststream.confluent import ConfluentConfig
from faststream.confluent import KafkaBroker as ConfluentBroker
from faststream.kafka import KafkaBroker
from faststream.nats import NatsBroker
from faststream.rabbit import RabbitBroker
from faststream.redis import BinaryMessageFormatV1, RedisBroker
from nats.js.api import StreamConfig
from redis.asyncio import Redis

from mdb_sqla.relay import Target
from mdb_sqla.relay.confluent import ConfluentKafka
from mdb_sqla.relay.kafka import Kafka
from mdb_sqla.relay.nats import JetStream
from mdb_sqla.relay.rabbitmq import RabbitMQ
from mdb_sqla.relay.redis import RedisStreams
from tests.brokers.kafka_cluster import KafkaCluster
from tests.brokers.kafka_server import KafkaServer
from tests.brokers.nats_server import NatsCluster, NatsServer
from tests.brokers.rabbitmq_server import RabbitmqServer
from tests.brokers.redis_server import RedisServer
from tests.brokers.server import Server


class Received(NamedTuple):
    """A message as a broker has it.

    Attributes:
        where: the subject, routing key or stream.
        headers: with what the broker has in places of their own.
        body: the data.
    """

    where: str
    headers: Mapping[str, Any]
    body: bytes

    @property
    def place(self) -> tuple[str, int]:
        """The stream and the position in it."""
        return self.headers["stream_name"], int(self.headers["position"])


class Receiving(Protocol):
    """A broker, and what was published to it for one category.

    Attributes:
        server: the broker.
        option: how a target of it calls the function that tells where a message goes.
        place: where a message of type `T` goes without such a function.
    """

    server: Server | NatsCluster
    option: str
    place: str

    async def prepare(self) -> None:
        """Have the broker keep what is published for the category."""

    def target(self, **options: Any) -> Target:
        """Return what a relay publishes to."""
        ...

    async def received(self) -> list[Received]:
        """Return all there is, in order."""
        ...


class FromNats:
    option = "subject"

    def __init__(self, server: NatsServer | NatsCluster, category: str) -> None:
        self.server = server
        self.category = category
        self.place = f"{category}.T"
        self.replicas = 3 if isinstance(server, NatsCluster) else 1

    async def prepare(self) -> None:
        client = await nats.connect(self.server.url)
        config = StreamConfig(
            name=self.category, subjects=[f"{self.category}.>"], num_replicas=self.replicas
        )
        await client.jetstream().add_stream(config)
        await client.close()

    def target(self, **options: Any) -> Target:
        broker = NatsBroker(self.server.url, logger=None, reconnect_time_wait=0)
        return JetStream(broker, **{"stream": self.category, **options})

    async def received(self) -> list[Received]:
        client = await nats.connect(self.server.url)
        stream = client.jetstream()
        state = (await stream.stream_info(self.category)).state
        found = []
        if state.messages:
            consumer = await stream.subscribe("", stream=self.category, ordered_consumer=True)
            for _ in range(state.messages):
                told = await consumer.next_msg(timeout=20)
                found.append(Received(told.subject, told.headers or {}, told.data))
        await client.close()
        return found


class FromRabbitMQ:
    option = "routing_key"

    def __init__(self, server: RabbitmqServer, category: str) -> None:
        self.server = server
        self.place = f"{category}.T"
        self._taken: list[Received] = []

    async def prepare(self) -> None:
        async with await connect(self.server.url) as connection:
            channel = await connection.channel()
            await channel.declare_queue(
                self.place, durable=True, arguments={"x-queue-type": "quorum"}
            )
        self.server.wait_until_recorded(self.place)

    def target(self, **options: Any) -> Target:
        return RabbitMQ(
            RabbitBroker(self.server.url, logger=None, reconnect_interval=0.1), **options
        )

    async def received(self) -> list[Received]:
        async with await connect(self.server.url) as connection:
            queue = await (await connection.channel()).get_queue(self.place)
            # Taken out, and kept here: a quorum queue has many unacknowledged ones slowly, and
            # hands no more than 2,000 of them to a consumer.
            while (told := await queue.get(fail=False, no_ack=True)) is not None:
                self._taken.append(_of_rabbitmq(told))
        return [*self._taken]


def _of_rabbitmq(told: AbstractIncomingMessage) -> Received:
    properties = {
        "content-type": told.content_type,
        "correlation_id": told.correlation_id,
        "property message_id": told.message_id,
        "property type": told.type,
        "delivery_mode": told.delivery_mode,
    }
    return Received(told.routing_key or "", {**told.headers, **properties}, told.body)


class FromRedis:
    option = "stream"

    def __init__(self, server: RedisServer, category: str) -> None:
        self.server = server
        self.place = category

    async def prepare(self) -> None:
        pass

    def target(self, **options: Any) -> Target:
        return RedisStreams(RedisBroker(self.server.url), **options)

    async def received(self) -> list[Received]:
        async with Redis.from_url(self.server.url) as client:
            entries: Any = await client.xrange(self.place)
        found = []
        for _, fields in entries:
            (data,) = fields.values()
            body, headers = BinaryMessageFormatV1.parse(data)
            found.append(Received(self.place, headers, body))
        return found


class FromKafka:
    option = "topic"

    def __init__(self, server: KafkaServer | KafkaCluster, category: str) -> None:
        self.server = server
        self.place = category
        self._partitions: list[TopicPartition] = []

    async def prepare(self) -> None:
        administration = AIOKafkaAdminClient(bootstrap_servers=self.server.url)
        await administration.start()
        await administration.create_topics([NewTopic(self.place, 3, 1)])
        await administration.close()
        self._partitions = [TopicPartition(self.place, number) for number in range(3)]

    def target(self, **options: Any) -> Target:
        # The server of the tests has no numbers for idempotent producers of aiokafka.
        return Kafka(KafkaBroker(self.server.url.split(","), acks="all", logger=None), **options)

    async def received(self) -> list[Received]:
        found, _ = await self._read({})
        return found

    async def _read(
        self, begin: Mapping[TopicPartition, int]
    ) -> tuple[list[Received], dict[TopicPartition, int]]:
        """Return what there is from these offsets on, and the offsets of its end."""
        # The server of the tests tells no right end of a partition: this is published there.
        end = uuid4().bytes
        servers = self.server.url.split(",")
        async with KafkaBroker(servers, acks="all", logger=None) as broker:
            for partition in self._partitions:
                await broker.publish(end, self.place, partition=partition.partition)
        consumer = AIOKafkaConsumer(bootstrap_servers=servers, auto_offset_reset="earliest")
        await consumer.start()
        found: list[Any] = []
        ends: dict[TopicPartition, int] = {}
        try:
            consumer.assign(self._partitions)
            for partition, offset in begin.items():
                consumer.seek(partition, offset)
            while len(ends) < len(self._partitions):
                async with asyncio.timeout(20):
                    told = await consumer.getone()
                partition = TopicPartition(told.topic, told.partition)
                if told.offset < begin.get(partition, 0):
                    continue  # it may begin at the start all the same
                if told.value == end:
                    ends[partition] = told.offset + 1
                found.append(told)
        finally:
            await consumer.stop()
        return [_of_kafka(told) for told in found if told.key is not None], ends


def _of_kafka(told: Any) -> Received:
    headers = {name: value.decode() for name, value in told.headers}
    return Received(told.topic, {**headers, "key": told.key.decode()}, told.value)


class FromConfluent(FromKafka):
    def target(self, **options: Any) -> Target:
        # What the server of the tests confirms to idempotent producers may be lost in a kill.
        broker = ConfluentBroker(
            self.server.url, acks="all", allow_auto_create_topics=False, logger=None
        )
        return ConfluentKafka(broker, **options)


class FromIdempotentKafka(FromKafka):
    """Producers that are idempotent, with the cluster that has numbers for them."""

    async def prepare(self) -> None:
        # The cluster makes a topic that is asked about, and no other.
        client = AdminClient({"bootstrap.servers": self.server.url})
        topics = await asyncio.to_thread(client.list_topics, self.place, timeout=20)
        numbers = topics.topics[self.place].partitions
        self._partitions = [TopicPartition(self.place, number) for number in numbers]
        self._taken: list[Received] = []
        self._ends: dict[TopicPartition, int] = {}

    async def received(self) -> list[Received]:
        # Kept here: it forgets the oldest.
        found, self._ends = await self._read(self._ends)
        self._taken += found
        return [*self._taken]

    def target(self, **options: Any) -> Target:
        broker = KafkaBroker(self.server.url.split(","), enable_idempotence=True, logger=None)
        return Kafka(broker, **options)


class FromIdempotentConfluent(FromIdempotentKafka):
    def target(self, *, patience: int = 60_000, **options: Any) -> Target:
        """`patience` is for how many milliseconds a producer tries to send a message."""
        broker = ConfluentBroker(
            self.server.url,
            enable_idempotence=True,
            allow_auto_create_topics=False,
            # FastStream writes down fewer of the settings than it passes on.
            config=cast("ConfluentConfig", {"message.timeout.ms": patience}),
            logger=None,
        )
        return ConfluentKafka(broker, **options)
