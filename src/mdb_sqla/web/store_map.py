"""The map of a store: which consumers read which categories, and which messages cause others.

It is a drawing of two columns: categories on the left, and consumers on the right. Arcs on the left
lead from the category of a cause to that of its effects.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import Connection, case, func, select

from mdb_sqla import functions
from mdb_sqla.admin.consumer_overview import ConsumerOverview
from mdb_sqla.column_types import fits_datetime
from mdb_sqla.database.execution import WRITES, execute
from mdb_sqla.tables import messages
from mdb_sqla.web.consumer_diagnosis import Health, health, most_urgent
from mdb_sqla.web.message_rows import is_small, shown_name

__all__ = ["RECENT", "Flow", "StoreMap", "draw_map", "recent_flow"]

RECENT = 5_000
"""The number of last messages from which causes and rates are determined."""

_MAX_CATEGORIES = 40
_MAX_CONSUMERS = 60
_MAX_CAUSES = 200  # in the table
_WIDTH, _NODE_WIDTH, _NODE_HEIGHT, _GAP = 720, 210, 30, 12
_LEFT, _RIGHT, _TOP = 150, 500, 34
_TEXT_LENGTH = 28  # characters that fit into a node


class Flow(NamedTuple):
    """What the last messages of the store show.

    Attributes:
        categories: the number of these messages by category.
        caused: the number of these messages by the category of their cause and their own.
        seconds: the time between the first and the last of them.
    """

    categories: dict[str, int]
    caused: dict[tuple[str, str], int]
    seconds: float


@dataclass(frozen=True)
class _Node:
    name: str
    x: int
    y: int
    note: str
    health: Health | None = None
    width: int = _NODE_WIDTH
    height: int = _NODE_HEIGHT

    @property
    def text(self) -> str:
        return self.name if len(self.name) <= _TEXT_LENGTH else f"{self.name[: _TEXT_LENGTH - 1]}…"

    @property
    def middle(self) -> float:
        return self.y + self.height / 2


class _Edge(NamedTuple):
    path: str
    width: float
    health: Health | None
    title: str


class StoreMap(NamedTuple):
    """The drawing, in the units of an SVG.

    Attributes:
        width: its width.
        height: its height.
        categories: the boxes of the categories.
        consumers: the boxes of the consumers.
        edges: the lines between them.
        left_out: the number of categories that are not drawn.
        consumers_left_out: the number of consumers that are not drawn.
        causes: the number of messages by the category of their cause and their own, the most
            frequent ones.
        readers: the consumers that are drawn.
    """

    width: int
    height: int
    categories: list[_Node]
    consumers: list[_Node]
    edges: list[_Edge]
    left_out: int
    consumers_left_out: int
    causes: list[tuple[tuple[str, str], int]]
    readers: list[ConsumerOverview]


def recent_flow(db: Connection) -> Flow:
    """Return what the last messages of the store show."""
    metadata = messages.c.metadata
    cause = case((is_small(metadata), metadata["causationMessageStreamName"].astext))
    last = (
        select(
            functions.category(messages.c.stream_name).label("category"),
            functions.category(shown_name(cause)).label("cause"),
            messages.c.time.label("time"),
        )
        .order_by(messages.c.global_position.desc())
        .limit(RECENT)
        .subquery()
    )
    finite = fits_datetime(last.c.time)
    newest, oldest = (of(last.c.time).filter(finite) for of in (func.max, func.min))
    span = func.coalesce(func.extract("epoch", newest - oldest), 0)
    counted = select(
        last.c.category, last.c.cause, func.count().label("number"), span.label("span")
    )
    rows = execute(db, counted.group_by(last.c.category, last.c.cause), {}, WRITES)
    categories: Counter[str] = Counter()
    caused: Counter[tuple[str, str]] = Counter()
    for row in rows:
        categories[row.category] += row.number
        if row.cause:
            caused[row.cause, row.category] += row.number
    seconds = max((float(row.span) for row in rows), default=0.0)
    return Flow(dict(categories), dict(caused), seconds)


def draw_map(flow: Flow, consumers: Sequence[ConsumerOverview]) -> StoreMap:
    """Return the drawing of the recent flow and of what consumers read."""
    number = len(consumers)
    consumers = most_urgent(consumers, _MAX_CONSUMERS)
    read = [name for each in consumers if each.reads for name in each.reads.categories]
    known = Counter(flow.categories) + Counter(dict.fromkeys(read, 1))
    for cause, _ in flow.caused:
        known.setdefault(cause, 0)
    drawn = [name for name, _ in known.most_common(_MAX_CATEGORIES)]
    drawn = _ordered(drawn, flow.caused)
    nodes = {
        name: _Node(
            name, _LEFT, _y(place), f"{flow.categories.get(name, 0):,} of the last {RECENT:,}"
        )
        for place, name in enumerate(drawn)
    }
    order = {name: place for place, name in enumerate(drawn)}
    readers = sorted(consumers, key=lambda each: (_mean(order, each), each.name))
    boxes = {
        each.name: _Node(each.name, _RIGHT, _y(place), _lag_of(each), health(each))
        for place, each in enumerate(readers)
    }
    height = _y(max(len(nodes), len(boxes), 1)) + _GAP
    edges = [*_causes(nodes, flow), *_reads(nodes, boxes, consumers, flow)]
    return StoreMap(
        width=_WIDTH,
        height=height,
        categories=[*nodes.values()],
        consumers=[*boxes.values()],
        edges=edges,
        left_out=len(known) - len(drawn),
        consumers_left_out=number - len(consumers),
        causes=sorted(Counter(flow.caused).most_common(_MAX_CAUSES)),
        readers=consumers,
    )


def _ordered(names: list[str], caused: Mapping[tuple[str, str], int]) -> list[str]:
    """Return the categories with causes before their effects, as far as there are no cycles."""
    depth = dict.fromkeys(names, 0)
    for _ in range(len(names)):
        for cause, effect in caused:
            if cause in depth and effect in depth and depth[effect] <= depth[cause] < len(names):
                depth[effect] = depth[cause] + (cause != effect)
    # In a cycle, the depth grows up to the limit for all of its categories.
    return sorted(names, key=lambda name: (depth[name], name))


def _y(number: int) -> int:
    return _TOP + number * (_NODE_HEIGHT + _GAP)


def _mean(order: Mapping[str, int], consumer: ConsumerOverview) -> float:
    places = [
        order[name]
        for name in (consumer.reads.categories if consumer.reads else ())
        if name in order
    ]
    return sum(places) / len(places) if places else math.inf


def _lag_of(consumer: ConsumerOverview) -> str:
    if consumer.lag is None:
        return "has not been started"
    return f"lag {consumer.lag.messages:,}{'+' * consumer.lag.at_least}"


def _thickness(number: int) -> float:
    return round(1 + 1.5 * math.log10(1 + number), 1)


def _causes(nodes: Mapping[str, _Node], flow: Flow) -> Iterable[_Edge]:
    for (cause, effect), number in sorted(flow.caused.items()):
        if cause not in nodes or effect not in nodes:
            continue
        begin, end = nodes[cause].middle, nodes[effect].middle
        if cause == effect:
            begin, end = begin - 7, end + 7
        bend = _LEFT - min(30 + abs(end - begin) / 3, _LEFT - 10)
        path = f"M{_LEFT} {begin}C{bend:.0f} {begin} {bend:.0f} {end} {_LEFT - 7} {end}"
        title = f"{number:,} of the last {RECENT:,} messages: {effect}, caused by {cause}"
        yield _Edge(path, _thickness(number), None, title)


def _reads(
    nodes: Mapping[str, _Node],
    boxes: Mapping[str, _Node],
    consumers: Iterable[ConsumerOverview],
    flow: Flow,
) -> Iterable[_Edge]:
    for consumer in consumers:
        box = boxes[consumer.name]
        names = () if consumer.reads is None else consumer.reads.categories or nodes
        for name in names:
            if name not in nodes:
                continue
            begin, end = _LEFT + _NODE_WIDTH, _RIGHT - 7
            middle = (begin + end) // 2
            path = (
                f"M{begin} {nodes[name].middle}"
                f"C{middle} {nodes[name].middle} {middle} {box.middle} {end} {box.middle}"
            )
            title = f"{consumer.name} reads {name}"
            yield _Edge(path, _thickness(flow.categories.get(name, 0)), box.health, title)
