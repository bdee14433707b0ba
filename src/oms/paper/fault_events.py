"""What happens to the whole paper gateway, as data: the events of a fault plan.

Each event names when it happens, by at most one of

    after_placements   n placeOrder messages of new orders have arrived (whatever became of them)
    after_executions   n executions have been booked
    after_steps        the market has taken n steps
    after_seconds      t seconds have passed

counted from the moment the plan was taken up; without any of them it happens at once. `do` says what happens, and each
kind has the arguments its class names. Every event is also a method of PaperIBGateway.
"""

from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)


class Operation(StrEnum):
    """A request of a client that a fault can hit, in a plan's words."""

    PLACE = "place"
    MODIFY = "modify"
    CANCEL = "cancel"
    OPEN_ORDERS = "open_orders"
    ALL_OPEN_ORDERS = "all_open_orders"
    COMPLETED_ORDERS = "completed_orders"
    EXECUTIONS = "executions"
    POSITIONS = "positions"
    ACCOUNT_UPDATES = "account_updates"
    CONTRACT_DETAILS = "contract_details"
    CURRENT_TIME = "current_time"


class Happening(BaseModel):
    """When an event happens; at most one of the four may be given."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    do: str
    after_placements: int | None = Field(None, ge=0)
    after_executions: int | None = Field(None, ge=0)
    after_steps: int | None = Field(None, ge=0)
    after_seconds: float | None = Field(None, ge=0)

    @model_validator(mode="after")
    def _one_moment(self) -> "Happening":
        given = (self.after_placements, self.after_executions, self.after_steps, self.after_seconds)
        if sum(each is not None for each in given) > 1:
            raise ValueError("an event happens after placements, executions, steps or seconds: name one")
        return self

    @model_serializer(mode="wrap")
    def _with_its_name(self, values: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # `do` is every class's default, and defaults are left out of a plan that is written.
        return {"do": self.do, **values(self)}


class DropConnections(Happening):
    """Every connection breaks."""

    do: Literal["drop_connections"] = "drop_connections"


class CutRequest(Happening):
    """The next bytes of any client are read up to the middle, then its connection breaks."""

    do: Literal["cut_request"] = "cut_request"


class Silence(Happening):
    """Nothing is read or said, with every connection open, for `seconds` (None: until speak_again)."""

    do: Literal["silence"] = "silence"
    seconds: float | None = Field(None, ge=0)


class SpeakAgain(Happening):
    """The silence ends: what arrived in it is handled, what was held back is sent."""

    do: Literal["speak_again"] = "speak_again"


class ConnectivityLost(Happening):
    """Error 1100: orders are taken, but neither told nor matched, for `seconds` (None: until it is restored).

    data_lost: it ends with 1101 rather than 1102. told: False leaves out the 1100 itself.
    """

    do: Literal["connectivity_lost"] = "connectivity_lost"
    seconds: float | None = Field(None, ge=0)
    data_lost: bool = False
    told: bool = True


class ConnectivityRestored(Happening):
    """Error 1101 (data_lost) or 1102; what waited is handled."""

    do: Literal["connectivity_restored"] = "connectivity_restored"
    data_lost: bool = False


class Restart(Happening):
    """The daily restart: connections close, nobody listens for `seconds`, ids roll back, held orders are lost."""

    do: Literal["restart"] = "restart"
    seconds: float = Field(0.2, ge=0)
    roll_back_ids: bool = True


class ClientIdInUse(Happening):
    """326 and a closed connection for whoever comes with `client_id`, for `seconds`; who is there is dropped."""

    do: Literal["client_id_in_use"] = "client_id_in_use"
    client_id: int = Field(ge=0)
    seconds: float = Field(ge=0)


class RollBackIds(Happening):
    """nextValidId is 1 for the next connection of each client; ids used before stay used."""

    do: Literal["roll_back_ids"] = "roll_back_ids"


class Unanswered(Happening):
    """One kind of request gets no answer at all for `seconds`."""

    do: Literal["unanswered"] = "unanswered"
    request: Operation
    seconds: float = Field(ge=0)


class Notice(Happening):
    """An error about no request (id -1) to every client; it changes nothing."""

    do: Literal["notice"] = "notice"
    code: int
    text: str = ""


class OrderError(Happening):
    """An error about an order to the client that placed it; it changes nothing. Empty order_ref: the last order."""

    do: Literal["order_error"] = "order_error"
    code: int
    text: str = ""
    order_ref: str = ""


class _Terms(Happening):
    symbol: str
    side: Literal["BUY", "SELL"] = "BUY"
    quantity: Decimal = Decimal(1)
    order_type: str = "MKT"
    price: Decimal | None = None
    account: str = ""
    order_ref: str = ""


class HandOrder(_Terms):
    """An order entered by hand in TWS: client id 0, and order id 0 (or the negative one a listener was given)."""

    do: Literal["hand_order"] = "hand_order"
    order_id: int = Field(0, le=0)


class OtherClientOrder(_Terms):
    """An order of another client. order_id 0: the number our last placeOrder had."""

    do: Literal["other_client_order"] = "other_client_order"
    client_id: int = Field(99, ge=0)
    order_id: int = Field(0, ge=0)


class HandChange(Happening):
    """An order changed by hand: the one with `perm_id`, or with `order_ref`, or the last one entered by hand."""

    do: Literal["hand_change"] = "hand_change"
    perm_id: int = 0
    order_ref: str = ""
    quantity: Decimal | None = None
    price: Decimal | None = None


class HandCancel(Happening):
    """An order canceled by hand, named as in hand_change."""

    do: Literal["hand_cancel"] = "hand_cancel"
    perm_id: int = 0
    order_ref: str = ""


class SetPrice(Happening):
    """The market of a symbol is set and held; with a size, exactly that much can be bought and sold."""

    do: Literal["set_price"] = "set_price"
    symbol: str
    bid: Decimal
    ask: Decimal
    size: Decimal | None = None


class Correction(Happening):
    """An execution is corrected: the last one, or the last with `order_ref`. Quantity 0 is a bust."""

    do: Literal["correction"] = "correction"
    order_ref: str = ""
    quantity: Decimal
    price: Decimal


class Release(Happening):
    """What is held is let go: everything, or what belongs to `order_ref`."""

    do: Literal["release"] = "release"
    order_ref: str = ""


Event = Annotated[
    DropConnections
    | CutRequest
    | Silence
    | SpeakAgain
    | ConnectivityLost
    | ConnectivityRestored
    | Restart
    | ClientIdInUse
    | RollBackIds
    | Unanswered
    | Notice
    | OrderError
    | HandOrder
    | OtherClientOrder
    | HandChange
    | HandCancel
    | SetPrice
    | Correction
    | Release,
    Field(discriminator="do"),
]
