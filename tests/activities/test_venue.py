"""The thin layer over a gateway: its answer as it is, and a closed gate as a benign wait."""

from decimal import Decimal

import pytest
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory
from temporalio.testing import ActivityEnvironment

from oms.activities.venue import GATE_CLOSED_RETRY, VenueActivities
from oms.domain.programs.targets import AccountRead
from oms.domain.terms import PlacementStatus
from oms.domain.tickets import ticket
from oms.gateways.errors import GatewayNotReady
from tests.domain.orders import Desk
from tests.workflows.venue import ScriptedVenue, reports

VERBS = ("place", "modify", "cancel", "ask")


@pytest.mark.parametrize("verb", VERBS)
async def test_the_gateways_answer_is_passed_on(verb: str) -> None:
    desk, venue = Desk().place(), ScriptedVenue()
    asked = ticket(desk.order, desk.order.placements[0])
    venue.will(asked.order_id, verb, reports(PlacementStatus.HELD))
    answer = await ActivityEnvironment().run(getattr(VenueActivities(venue), verb), asked)
    assert [fact.status for fact in answer.facts] == [PlacementStatus.HELD]
    assert venue.calls[asked.order_id] == [verb]


@pytest.mark.parametrize("verb", VERBS)
async def test_a_closed_gate_is_tried_again_and_is_no_alarm(verb: str) -> None:
    desk, venue = Desk().place(), ScriptedVenue()
    asked = ticket(desk.order, desk.order.placements[0])
    venue.will(asked.order_id, verb, GatewayNotReady("the session is not in sync"))
    with pytest.raises(ApplicationError, match="nothing was sent") as raised:
        await ActivityEnvironment().run(getattr(VenueActivities(venue), verb), asked)
    error = raised.value
    assert (error.type, error.non_retryable) == ("GatewayNotReady", False)
    assert (error.category, error.next_retry_delay) == (ApplicationErrorCategory.BENIGN, GATE_CLOSED_RETRY)


async def test_a_resync_answers_for_the_gateway_that_was_named() -> None:
    venue = ScriptedVenue()
    answer = await ActivityEnvironment().run(VenueActivities(venue).resync, "the venue")
    assert (answer.name, venue.resyncs) == ("the venue", 1)


async def test_a_resync_never_answers_for_another_gateway() -> None:
    with pytest.raises(ApplicationError, match="is served by the venue now") as raised:
        await ActivityEnvironment().run(VenueActivities(ScriptedVenue()).resync, "ibkr/7")
    assert raised.value.non_retryable


async def test_an_account_is_passed_on_as_it_was_read() -> None:
    venue = ScriptedVenue()
    venue.accounts["DU1"] = AccountRead(account="DU1", net_liquidation=Decimal(5), currency="USD", read_ns=7)
    assert (
        await ActivityEnvironment().run(VenueActivities(venue).read_account, "DU1") == venue.accounts["DU1"]
    )


async def test_a_closed_gate_is_an_answer_to_who_asks_for_an_account() -> None:
    venue = ScriptedVenue()
    venue.accounts["DU1"] = GatewayNotReady("the session is not in sync")
    read = await ActivityEnvironment().run(VenueActivities(venue).read_account, "DU1")
    assert read == AccountRead(account="DU1", away="the session is not in sync")
