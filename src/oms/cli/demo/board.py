"""What the demo sees of its orders: their latest state, fed by the stream, for those who wait and for the screen."""

import threading
import time
from collections.abc import Callable, Sequence

from rich.table import Table
from rich.text import Text

from oms.cli.book import Book, BookError, Item
from oms.cli.demo.script import Scene
from oms.cli.following import Connected, Following, Told
from oms.cli.looks import money, number, plain_table, state_text, waiting
from oms.domain.lifecycle import TERMINAL
from oms.domain.terms import State

_WIDE = 116


class NotReached(Exception):
    """What an order should have come to and did not, in one line."""


class Board:
    """The demo's orders as they are now. A thread of its own keeps it up to date."""

    def __init__(
        self, book: Book, scenes: Sequence[Scene], on_state: Callable[[str, State, str], None]
    ) -> None:
        """`on_state` hears of every state: the scene's name, the state, who caused it."""
        self._book = book
        self._scenes = {scene.name: scene for scene in scenes}
        self._on_state = on_state
        self._following = Following(book)
        self._changed = threading.Condition()
        self._orders: dict[str, Item] = {}
        self._names: dict[str, str] = {}
        self._states: dict[str, State] = {}
        self._connected = False
        self._failure: BookError | None = None
        self._ended = False
        threading.Thread(target=self._keep, name="board", daemon=True).start()

    def until_connected(self, patience: float) -> None:
        """Return once the stream is open. Raises NotReached."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._connected or self._failure, patience):
                raise NotReached(f"the stream did not open within {patience:g} s")
            self._check()

    def until(self, order_id: str, met: Callable[[Item], bool], what: str, deadline: float) -> Item:
        """The order once it is as `met` asks, by `deadline` (monotonic). Raises NotReached, at once if it is over."""
        with self._changed:
            while True:
                self._check()
                order = self._orders.get(order_id)
                if order is not None and met(order):
                    return order
                if order is not None and order["state"] in TERMINAL:
                    raise NotReached(f"waited for {what}, and it ended {_told(order)}")
                left = deadline - time.monotonic()
                if left <= 0:
                    raise NotReached(f"waited in vain for {what}; it is {_told(order)}")
                self._changed.wait(min(left, 1.0))

    def end(self) -> None:
        """Stop following; whoever waits gives up."""
        self._following.end()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def table(self, title: str, width: int) -> Table:
        """The orders in the script's order, on `width` columns."""
        with self._changed:
            named = {order["client_order_id"]: order for order in self._orders.values()}
        return board_table(list(self._scenes.values()), named, title, width)

    def _check(self) -> None:
        if self._failure is not None:
            raise self._failure
        if self._ended:
            raise NotReached("the demo was stopped")

    def _keep(self) -> None:
        try:
            while not self._ended:
                self._take(self._following.next(0.5))
        except BookError as error:
            with self._changed:
                self._failure = error
                self._changed.notify_all()

    def _take(self, news: Sequence[object]) -> None:
        touched: dict[str, None] = {}
        for one in news:
            match one:
                case BookError():
                    raise one
                case Connected():
                    with self._changed:
                        self._connected = True
                        self._changed.notify_all()
                case Told():
                    touched[one.order_id] = None
                    self._hear(one)
        for order_id in touched:
            order = self._book.get(f"/v1/orders/{order_id}")
            with self._changed:
                self._orders[order_id] = order
                self._changed.notify_all()

    def _hear(self, told: Told) -> None:
        if told.kind == "order_created":
            self._names[told.order_id] = told.data["request"]["client_order_id"]
        if told.order_id in self._names and self._states.get(told.order_id) is not told.state:
            self._states[told.order_id] = told.state
            self._on_state(self._names[told.order_id], told.state, told.actor)


def _told(order: Item | None) -> str:
    if order is None:
        return "not known"
    why = order["reason"] or waiting(order)
    return f"{order['state']} ({why})" if why else str(order["state"])


def board_table(scenes: Sequence[Scene], orders: dict[str, Item], title: str, width: int) -> Table:
    """A line for each scene, whether its order is there yet or not; fewer columns on a narrow terminal."""
    wide = width >= _WIDE
    table = plain_table(title)
    table.add_column("Order", no_wrap=True, style="dim")
    for name in ("Symbol", "Side", *(("Terms", "Moved by") if wide else ())):
        table.add_column(name, no_wrap=True)
    for name in ("Quantity", "Executed", *(("Average",) if wide else ())):
        table.add_column(name, no_wrap=True, justify="right")
    table.add_column("State", no_wrap=True, width=28)
    for scene in scenes:
        body, order = scene.body, orders.get(scene.name)
        executed = order["executed_quantity"] if order else "0"
        terms = (
            f"{body['order_type']} {body['time_in_force']}",
            scene.people.replace("-", " ") or "the system",
        )
        average = money(order["average_price"]) if order else ""
        table.add_row(
            scene.name,
            scene.symbol,
            body["direction"],
            *(terms if wide else ()),
            number(body["ordered_quantity"]),
            number(executed) if executed != "0" else "",
            *((average,) if wide else ()),
            _state(order),
        )
    return table


def _state(order: Item | None) -> Text:
    if order is None:
        return Text("", "dim")
    text = state_text(order["state"])
    return text.append(" !", "bold red") if order["exceptions"] else text
