"""Layouts of the three messages that carry a whole order, as field tables by server version.

placeOrder (3, from the client), openOrder (5) and completedOrder (101, to the client). An order's
attributes are kept as the texts the client sent, under the TWS API's own names, so whatever went in
comes out again. Source: TWS API, EClient.placeOrder and EOrderDecoder, server versions 157 to 178.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache

from oms.paper.order_tables import COMPLETED, OPEN, PLACE, Conditions, Field, Part, Rows, When
from oms.paper.wire import Fields, WireError, integer_of

_MOST_ROWS = 1_000
# How many fields follow the type of each condition kind, its conjunction included.
_CONDITION_WIDTHS = {1: 6, 3: 3, 4: 3, 5: 4, 6: 5, 7: 5}


@dataclass(slots=True)
class OrderFields:
    """An order's attributes: single values by name, and lists of value tuples (legs, tags, conditions)."""

    texts: dict[str, str] = field(default_factory=dict)
    rows: dict[str, list[list[str]]] = field(default_factory=dict)

    def get(self, name: str) -> str:
        return self.texts.get(name, "")

    def dump(self) -> str:
        """JSON text for the ledger; empty values are left out."""
        kept = {name: text for name, text in self.texts.items() if text}
        return json.dumps([kept, self.rows], separators=(",", ":"))

    @classmethod
    def load(cls, text: str) -> "OrderFields":
        """Read back what ``dump`` wrote."""
        texts, rows = json.loads(text)
        return cls(texts, rows)


@dataclass(frozen=True, slots=True)
class _Run:
    """Consecutive single fields of one version, handled in one go."""

    names: tuple[str, ...]
    defaults: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Branch:
    """A ``When`` with the plan of its parts for one version."""

    holds: Callable[[Mapping[str, str]], bool]
    plan: "tuple[_Step, ...]"


_Step = _Run | Rows | Conditions | _Branch
_LAYOUTS = {"3": PLACE, "5": OPEN, "101": COMPLETED}


def read_place_order(texts: list[str], version: int) -> OrderFields:
    """The attributes in a placeOrder message, its id (3) not included.

    Raises WireError when fields are missing, left over, or a count is impossible.
    """
    fields = Fields(texts)
    order = OrderFields()
    _read(_layout("3", version), fields, order)
    if fields.left():
        raise WireError(f"placeOrder has {fields.left()} fields too many")
    return order


def open_order(order: OrderFields, computed: Mapping[str, str], version: int) -> list[str]:
    """The openOrder message; ``computed`` (ids, status, money) takes precedence over what was sent."""
    return _message("5", order, computed, version)


def completed_order(order: OrderFields, computed: Mapping[str, str], version: int) -> list[str]:
    """The completedOrder message; ``computed`` as in ``open_order``."""
    return _message("101", order, computed, version)


def _message(kind: str, order: OrderFields, computed: Mapping[str, str], version: int) -> list[str]:
    out = [kind]
    _write(_layout(kind, version), {**order.texts, **computed}, order.rows, out)
    return out


@cache
def _layout(kind: str, version: int) -> tuple[_Step, ...]:
    return _plan(_LAYOUTS[kind], version)


def _plan(parts: tuple[Part, ...], version: int) -> tuple[_Step, ...]:
    """The parts of one server version, with neighbouring single fields joined into runs."""
    plan: list[_Step] = []
    run: list[Field] = []
    for part in parts:
        if isinstance(part, Field):
            if part.since <= version < part.before:
                run.append(part)
            continue
        if isinstance(part, When):
            if version < part.since:
                continue
            _close_run(run, plan)
            plan.append(_Branch(part.holds, _plan(part.parts, version)))
        else:
            _close_run(run, plan)
            plan.append(part)
    _close_run(run, plan)
    return tuple(plan)


def _close_run(run: list[Field], plan: list[_Step]) -> None:
    if run:
        plan.append(_Run(tuple(f.name for f in run), tuple(f.default for f in run)))
        run.clear()


def _read(plan: Iterable[_Step], fields: Fields, order: OrderFields) -> None:
    for step in plan:
        if isinstance(step, _Run):
            order.texts.update(zip(step.names, fields.take(len(step.names)), strict=True))
            if order.texts.get("competeAgainstBestOffset") == "Infinite":
                # The client writes Infinite and reads only Infinity.
                order.texts["competeAgainstBestOffset"] = "Infinity"
        elif isinstance(step, Rows):
            order.rows[step.name] = [fields.take(step.width) for _ in range(_count(fields))]
        elif isinstance(step, _Branch):
            if step.holds(order.texts):
                _read(step.plan, fields, order)
        else:
            _read_conditions(fields, order)


def _count(fields: Fields) -> int:
    count = fields.integer()
    if not 0 <= count <= _MOST_ROWS:
        raise WireError(f"a list of {count} items was announced")
    return count


def _read_conditions(fields: Fields, order: OrderFields) -> None:
    conditions = []
    for _ in range(_count(fields)):
        kind = fields.text()
        width = _CONDITION_WIDTHS.get(integer_of(kind))
        if width is None:
            raise WireError(f"condition type {kind!r} is not known")
        conditions.append([kind, *fields.take(width)])
    if conditions:
        order.rows["conditions"] = conditions
        flags = fields.take(2)
        order.texts["conditionsIgnoreRth"], order.texts["conditionsCancelOrder"] = flags


def _write(
    plan: Iterable[_Step], values: Mapping[str, str], rows: Mapping[str, list[list[str]]], out: list[str]
) -> None:
    for step in plan:
        if isinstance(step, _Run):
            out += [values.get(n) or d for n, d in zip(step.names, step.defaults, strict=True)]
        elif isinstance(step, Rows):
            _write_rows(rows.get(step.name, []), out)
        elif isinstance(step, _Branch):
            if step.holds(values):
                _write(step.plan, values, rows, out)
        else:
            conditions = rows.get("conditions", [])
            _write_rows(conditions, out)
            if conditions:
                out += [values["conditionsIgnoreRth"], values["conditionsCancelOrder"]]


def _write_rows(rows: list[list[str]], out: list[str]) -> None:
    out.append(str(len(rows)))
    for row in rows:
        out += row
