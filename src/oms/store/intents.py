"""A gateway's write-ahead record of each wire order: written before the wire call, found again after a crash."""

import time
from collections.abc import Collection, Sequence
from enum import StrEnum
from functools import lru_cache
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, bindparam, case, select, update
from sqlalchemy.exc import IntegrityError

from oms.domain.model import Open
from oms.domain.venues import PlacementTicket
from oms.store import tables
from oms.store.columns import storable
from oms.store.database import Database
from oms.store.errors import StoreError, Taken


class IntentState(StrEnum):
    """SENDING: the wire call may have happened. WITHDRAWN: canceled before it was ever sent. QUEUED: waits for
    others, definitely not sent yet."""

    SENDING = "SENDING"
    ACKNOWLEDGED = "ACKNOWLEDGED"
    IN_DOUBT = "IN_DOUBT"
    DONE = "DONE"
    WITHDRAWN = "WITHDRAWN"
    QUEUED = "QUEUED"


class Intent(Open):
    """One order at the broker. Times in nanoseconds since the epoch.

    broker_order_id: negative while it was never sent: the broker, which may know a positive one from an order of
    somebody else, never names it.
    """

    placement_id: str
    order_id: str
    gateway: str
    client_id: int
    broker_order_id: int
    order_ref: str
    account: str
    state: IntentState
    perm_ids: tuple[int, ...] = ()
    ticket: PlacementTicket
    created_ns: int
    updated_ns: int
    detail: str | None = None

    @property
    def was_sent(self) -> bool:
        """Whether its order id may be known at the broker, as its own."""
        return self.broker_order_id > 0 and self.state is not IntentState.QUEUED


class Intents:
    """The intents of all gateways."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._insert = database.insert_new(tables.intents, "placement_id")
        self._perm_id = database.insert_new(tables.intent_perm_ids)
        self._next = _next_id(database)

    def open(self, intent: Intent) -> tuple[Intent, bool]:
        """The placement's intent and whether this call wrote it. Of many at once exactly one gets True.

        Raises Taken when the broker order id stands for another placement of the same session.
        """
        row = {**intent.model_dump(exclude={"perm_ids", "ticket"}), "ticket": intent.ticket.model_dump_json()}
        row |= {"state": intent.state.value, "detail": storable(intent.detail)}
        try:
            with self._database.write() as connection:
                is_new = connection.execute(self._insert, row).rowcount == 1
                if is_new:
                    self._learn(connection, intent.placement_id, intent.perm_ids)
                found = _find(connection, _BY_PLACEMENT, {"placement_id": intent.placement_id})
        except IntegrityError as error:
            raise Taken(f"Broker order id {intent.broker_order_id} stands for another placement.") from error
        return found[0], is_new

    def get(self, placement_id: str) -> Intent | None:
        return self._one(_BY_PLACEMENT, {"placement_id": placement_id})

    def by_ref(self, order_ref: str) -> Intent | None:
        """The intent that went out under this reference of ours."""
        return self._one(_BY_REF, {"order_ref": order_ref})

    def by_broker_id(self, client_id: int, broker_order_id: int, gateway: str | None = None) -> Intent | None:
        """The latest intent with this id of the client's session, at `gateway` or at any."""
        known = {"client_id": client_id, "broker_order_id": broker_order_id}
        if gateway is None:
            return self._one(_BY_BROKER_ID, known)
        return self._one(_BY_BROKER_ID_AT, {**known, "gateway": gateway})

    def by_perm_id(self, perm_id: int) -> Intent | None:
        """The latest intent that the broker knows by this permanent id."""
        return self._one(_BY_PERM_ID, {"perm_id": perm_id})

    def among(
        self, placement_ids: Collection[str] = (), perm_ids: Collection[int] = ()
    ) -> tuple[dict[str, Intent], dict[int, Intent]]:
        """The intents of these placements, and those the broker knows by these permanent ids (the latest of each)."""
        with self._database.read() as connection:
            found = _find(connection, _AMONG, {"placement_ids": list(placement_ids)}) if placement_ids else []
            known = {"perm_ids": list(perm_ids)}
            learned = _find(connection, _AMONG_PERM_IDS, known) if perm_ids else []
        by_perm_id = {perm_id: intent for intent in learned for perm_id in intent.perm_ids}
        return {intent.placement_id: intent for intent in found}, by_perm_id

    def update_all(self, changed: Sequence[Intent], retermed: Collection[str] = ()) -> None:
        """Keep state, detail and permanent ids of these intents, which exist, in one transaction. Twice is once.

        Of the placements in `retermed` the ticket is kept as well.
        """
        rows = [
            {
                "placement": intent.placement_id,
                "state": intent.state.value,
                "detail": storable(intent.detail),
                "updated_ns": time.time_ns(),
            }
            for intent in changed
        ]
        if not rows:
            return
        with self._database.write() as connection:
            connection.execute(_UPDATE, rows)
            known = _learned(connection, [intent.placement_id for intent in changed])
            for intent in changed:
                if intent.placement_id in retermed:
                    ticket = {"placement": intent.placement_id, "ticket": intent.ticket.model_dump_json()}
                    connection.execute(_UPDATE, ticket)
                if set(intent.perm_ids) - set(known[intent.placement_id]):
                    self._learn(connection, intent.placement_id, intent.perm_ids)

    def update(
        self,
        placement_id: str,
        *,
        state: IntentState | None = None,
        perm_ids: tuple[int, ...] | None = None,
        detail: str | None = None,
        ticket: PlacementTicket | None = None,
    ) -> Intent:
        """The intent with what is given changed; `perm_ids` are added to the known ones, never taken away.

        Twice is once. Raises StoreError for a placement without an intent.
        """
        changes: dict[str, Any] = {"updated_ns": time.time_ns()}
        changes |= {} if state is None else {"state": state.value}
        changes |= {} if detail is None else {"detail": storable(detail)}
        changes |= {} if ticket is None else {"ticket": ticket.model_dump_json()}
        is_it = tables.intents.c.placement_id == placement_id
        with self._database.write() as connection:
            if connection.execute(update(tables.intents).where(is_it).values(changes)).rowcount == 0:
                raise StoreError(f"{placement_id} has no intent.")
            self._learn(connection, placement_id, perm_ids or ())
            return _find(connection, _BY_PLACEMENT, {"placement_id": placement_id})[0]

    def move_together(self, intents: Sequence[Intent], before: IntentState) -> bool:
        """Give all of them their order id, state and detail, or none of them: False where one is not `before`."""
        try:
            with self._database.write() as connection:
                for intent in intents:
                    _move(connection, intent, before)
        except _MovedOnError:
            return False
        return True

    def in_state(self, client_id: int, *states: IntentState, gateway: str | None = None) -> list[Intent]:
        """The client's intents in any of `states`, oldest first."""
        intents = tables.intents.c
        condition = (intents.client_id == client_id) & intents.state.in_([state.value for state in states])
        condition = condition if gateway is None else condition & (intents.gateway == gateway)
        with self._database.read() as connection:
            return _find(connection, _all_where(condition), {})

    def next_broker_order_id(self, gateway_key: str, at_least: int) -> int:
        """A broker order id that was never handed out under `gateway_key`: higher than all, and `at_least` so high."""
        with self._database.write() as connection:
            given: int = connection.execute(
                self._next, {"gateway_key": gateway_key, "last": at_least}
            ).scalar_one()
        return given

    def _one(self, statement: Select[Any], known: dict[str, Any]) -> Intent | None:
        with self._database.read() as connection:
            found = _find(connection, statement, known)
        return found[-1] if found else None

    def _learn(self, connection: Connection, placement_id: str, perm_ids: tuple[int, ...]) -> None:
        if not perm_ids:
            return
        count = len(connection.execute(_LEARNED, {"placement_ids": [placement_id]}).all())
        rows = [
            {"placement_id": placement_id, "perm_id": perm_id, "ordinal": ordinal}
            for ordinal, perm_id in enumerate(perm_ids, start=count)
        ]
        connection.execute(self._perm_id, rows)


class _MovedOnError(Exception):
    """An intent is not where it was taken from: nothing of the transaction stays."""


def _move(connection: Connection, intent: Intent, before: IntentState) -> None:
    here = tables.intents.c
    values = {
        "broker_order_id": intent.broker_order_id,
        "state": intent.state.value,
        "detail": storable(intent.detail),
        "updated_ns": intent.updated_ns,
    }
    is_it = (here.placement_id == intent.placement_id) & (here.state == before.value)
    if connection.execute(update(tables.intents).where(is_it).values(values)).rowcount == 0:
        raise _MovedOnError


def _next_id(database: Database) -> Any:
    statement = database.insert(tables.broker_order_ids)
    last, wanted = tables.broker_order_ids.c.last, statement.excluded.last
    return statement.on_conflict_do_update(
        index_elements=["gateway_key"], set_={"last": case((wanted > last, wanted), else_=last + 1)}
    ).returning(last)


def _all_where(condition: ColumnElement[bool]) -> Select[Any]:
    return select(tables.intents).where(condition).order_by(tables.intents.c.created_ns)


_I, _P = tables.intents.c, tables.intent_perm_ids.c
_IS_BROKER_ID = (_I.client_id == bindparam("client_id")) & (
    _I.broker_order_id == bindparam("broker_order_id")
)
_BY_PLACEMENT = _all_where(_I.placement_id == bindparam("placement_id"))
_BY_REF = _all_where(_I.order_ref == bindparam("order_ref"))
_BY_BROKER_ID = _all_where(_IS_BROKER_ID)
_BY_BROKER_ID_AT = _all_where(_IS_BROKER_ID & (_I.gateway == bindparam("gateway")))
_BY_PERM_ID = _all_where(
    _I.placement_id.in_(select(_P.placement_id).where(_P.perm_id == bindparam("perm_id")))
)
_AMONG = _all_where(_I.placement_id.in_(bindparam("placement_ids", expanding=True)))
_AMONG_PERM_IDS = _all_where(
    _I.placement_id.in_(select(_P.placement_id).where(_P.perm_id.in_(bindparam("perm_ids", expanding=True))))
)
_UPDATE = update(tables.intents).where(_I.placement_id == bindparam("placement"))
_LEARNED = (
    select(_P.placement_id, _P.perm_id)
    .where(_P.placement_id.in_(bindparam("placement_ids", expanding=True)))
    .order_by(_P.ordinal)
)
"""Made once: every message from the broker asks at least one of these, and making a statement costs more than asking."""


def _find(connection: Connection, statement: Select[Any], known: dict[str, Any]) -> list[Intent]:
    """The intents that fit, oldest first, with their permanent ids in the order they were learned."""
    rows = connection.execute(statement, known).all()
    learned = _learned(connection, [row.placement_id for row in rows])
    return [
        Intent.model_validate(
            {
                **row._asdict(),
                "ticket": _ticket(row.ticket),
                "perm_ids": tuple(learned[row.placement_id]),
            }
        )
        for row in rows
    ]


def _learned(connection: Connection, placement_ids: Sequence[str]) -> dict[str, list[int]]:
    """The permanent ids of each placement, in the order they were learned."""
    learned: dict[str, list[int]] = {placement_id: [] for placement_id in placement_ids}
    asked = connection.execute(_LEARNED, {"placement_ids": list(learned)}) if learned else ()
    for placement_id, perm_id in asked:
        learned[placement_id].append(perm_id)
    return learned


@lru_cache(maxsize=4096)
def _ticket(text: str) -> PlacementTicket:
    """A ticket is frozen and asked for with every message about its order; reading it takes longer than finding it."""
    return PlacementTicket.model_validate_json(text)
