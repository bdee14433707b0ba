"""Lets the events of a fault plan happen: each is one call of the paper gateway's control interface."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from oms.paper import fault_events as events

if TYPE_CHECKING:
    from oms.paper.ib_gateway import PaperIBGateway

_ENTERED = ("symbol", "side", "quantity", "order_type", "price")


def happen(gateway: "PaperIBGateway", event: events.Event) -> None:
    """Let one event happen. Raises KeyError or ValueError where the gateway has nothing it could happen to."""
    _CALLS[type(event)](gateway, event)


def _correct(gateway: "PaperIBGateway", event: events.Correction) -> None:
    found = [e for e in gateway.executions() if event.order_ref in {"", e.order_ref}]
    if not found:
        raise KeyError(event.order_ref or "there is no execution to correct")
    gateway.correct_execution(found[-1].exec_id, event.quantity, event.price)


def _enter(gateway: "PaperIBGateway", event: events.HandOrder) -> None:
    gateway.enter_by_hand(
        *(getattr(event, name) for name in _ENTERED),
        account=event.account,
        order_ref=event.order_ref,
        order_id=event.order_id,
    )


def _enter_other(gateway: "PaperIBGateway", event: events.OtherClientOrder) -> None:
    gateway.enter_as_other_client(
        *(getattr(event, name) for name in _ENTERED),
        account=event.account,
        order_ref=event.order_ref,
        client_id=event.client_id,
        order_id=event.order_id,
    )


_CALLS: dict[type, Callable[["PaperIBGateway", Any], object]] = {
    events.DropConnections: lambda gateway, _: gateway.drop_connections(),
    events.CutRequest: lambda gateway, _: gateway.cut_request(),
    events.Silence: lambda gateway, e: gateway.fall_silent(e.seconds),
    events.SpeakAgain: lambda gateway, _: gateway.speak_again(),
    events.ConnectivityLost: lambda gateway, e: gateway.connectivity_lost(
        e.seconds, data_lost=e.data_lost, told=e.told
    ),
    events.ConnectivityRestored: lambda gateway, e: gateway.connectivity_restored(data_lost=e.data_lost),
    events.Restart: lambda gateway, e: gateway.restart(e.seconds, roll_back_ids=e.roll_back_ids),
    events.ClientIdInUse: lambda gateway, e: gateway.client_id_in_use(e.client_id, e.seconds),
    events.RollBackIds: lambda gateway, _: gateway.roll_back_ids(),
    events.Unanswered: lambda gateway, e: gateway.leave_unanswered(e.request, e.seconds),
    events.Notice: lambda gateway, e: gateway.notice(e.code, e.text),
    events.OrderError: lambda gateway, e: gateway.order_error(e.code, e.text, e.order_ref),
    events.HandOrder: _enter,
    events.OtherClientOrder: _enter_other,
    events.HandChange: lambda gateway, e: gateway.change_by_hand(
        e.perm_id, e.quantity, e.price, order_ref=e.order_ref
    ),
    events.HandCancel: lambda gateway, e: gateway.cancel_by_hand(e.perm_id, order_ref=e.order_ref),
    events.SetPrice: lambda gateway, e: gateway.set_price(e.symbol, e.bid, e.ask, e.size),
    events.Correction: _correct,
    events.Release: lambda gateway, e: gateway.release(e.order_ref),
}
