"""Orders at the broker as their gateway knows them, and one run of the comparison: for the tests of Flex statements."""

import time
from datetime import timedelta
from typing import Any

from temporalio.testing import ActivityEnvironment

from oms.activities.flex import FlexActivities
from oms.domain import commands as cmd
from oms.domain.breaks import Break, BreakCategory, BreakStatus
from oms.domain.identifiers import order_ref
from oms.domain.statements import CompareAsk, Compared, Fetched, FlexAsk
from oms.domain.terms import Direction, OrderType, PlacementStatus, TimeInForce
from oms.domain.venues import PlacementTicket
from oms.gateways.ibkr.records import Record
from oms.store import Intent, IntentState, Store
from tests.flexing import ACCOUNT, NOON
from tests.store.building import APPLE, Tale, new_id

GATEWAY = "ibkr/17"
MORNING = NOON - timedelta(hours=3)


async def fetched(activities: FlexActivities, **ask: Any) -> Fetched:
    told: Fetched = await ActivityEnvironment().run(activities.fetch_statement, FlexAsk(**ask))
    return told


async def compared(activities: FlexActivities, *, overdue: bool = False, **ask: Any) -> Compared:
    """One run: the statement as it is now, against the books as they are now."""
    (name,) = (await fetched(activities, **ask)).statement_ids
    found: Compared = await ActivityEnvironment().run(
        activities.compare_statement, CompareAsk(statement_id=name, overdue=overdue)
    )
    return found


def order(store: Store, **request: Any) -> Tale:
    """An order that is placed at the broker, as its gateway knows it."""
    return sent(store, placed(**request).recorded(store))


def placed(**request: Any) -> Tale:
    """Through compliance to the desk and to the broker's account, whole."""
    tale = Tale(at=MORNING, **request).waiting().do(cmd.PassPreTradeCompliance(), cmd.SendToTrader())
    terms = {"venue": "IBKR", "account": ACCOUNT, "quantity": tale.order.ordered_quantity}
    return tale.do(cmd.CreatePlacement(placement_id=new_id("PLC"), **terms))


def sent(store: Store, tale: Tale, state: IntentState = IntentState.ACKNOWLEDGED, **changes: Any) -> Tale:
    placement = tale.order.placements[-1]
    terms = {
        "order_id": tale.id,
        "placement_id": placement.placement_id,
        "venue": "IBKR",
        "account": ACCOUNT,
        "instrument": APPLE,
        "direction": Direction(tale.order.direction),
        "quantity": placement.quantity,
        "order_type": OrderType.MARKET,
        "time_in_force": TimeInForce.DAY,
    }
    store.intents.open(
        Intent(
            placement_id=placement.placement_id,
            order_id=tale.id,
            gateway=GATEWAY,
            client_id=17,
            broker_order_id=time.time_ns(),
            order_ref=ref(tale),
            account=ACCOUNT,
            state=state,
            ticket=PlacementTicket(**{**terms, **changes}),
            created_ns=tale.now_ns,
            updated_ns=tale.now_ns,
            detail=Record(doubts=1, status=PlacementStatus.IN_DOUBT).model_dump_json(),
        )
    )
    return tale


def ref(tale: Tale) -> str:
    return order_ref(tale.order.placements[-1].placement_id)


def deliver(store: Store, *tales: Tale) -> None:
    """What the gateway's delivery does: every waiting fact to its order, which writes what it makes of it."""
    rows = store.inbox.undelivered(GATEWAY)
    for tale in tales:
        tale.hear(*(row.fact for row in rows if row.order_id == tale.id)).recorded(store)
    store.inbox.delivered(row.id for row in rows)


def in_doubt(store: Store, **request: Any) -> Tale:
    tale = placed(**request)
    tale.reported(PlacementStatus.IN_DOUBT, reason="no answer").recorded(store)
    changes = {"time_in_force": request["time_in_force"]} if "time_in_force" in request else {}
    return sent(store, tale, IntentState.IN_DOUBT, **changes)


def breaks(store: Store, category: BreakCategory | None = None) -> tuple[Break, ...]:
    return store.breaks.list(status=BreakStatus.OPEN, category=category)
