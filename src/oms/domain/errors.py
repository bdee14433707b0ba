"""Every refusal has one code from one enum, a sentence for a person, and the numbers behind it."""

from enum import StrEnum
from typing import Any


class Code(StrEnum):
    """The codes a refusal can carry. docs/errors.md is generated from this enum and `MEANING`."""

    INVALID_INSTRUMENT = "INVALID_INSTRUMENT"
    INVALID_PORTFOLIO = "INVALID_PORTFOLIO"
    INVALID_ACCOUNT = "INVALID_ACCOUNT"
    INVALID_ORDER_TYPE = "INVALID_ORDER_TYPE"
    INVALID_VENUE = "INVALID_VENUE"
    INVALID_TENANT = "INVALID_TENANT"
    UNSUPPORTED_BY_VENUE = "UNSUPPORTED_BY_VENUE"
    DUPLICATE_ORDER = "DUPLICATE_ORDER"
    ORDER_NOT_FOUND = "ORDER_NOT_FOUND"
    PLACEMENT_NOT_FOUND = "PLACEMENT_NOT_FOUND"
    ALLOCATION_NOT_FOUND = "ALLOCATION_NOT_FOUND"
    EXCEPTION_NOT_FOUND = "EXCEPTION_NOT_FOUND"
    INSTRUMENT_NOT_FOUND = "INSTRUMENT_NOT_FOUND"
    PORTFOLIO_NOT_FOUND = "PORTFOLIO_NOT_FOUND"
    ACCOUNT_NOT_FOUND = "ACCOUNT_NOT_FOUND"
    RULE_NOT_FOUND = "RULE_NOT_FOUND"
    BASKET_NOT_FOUND = "BASKET_NOT_FOUND"
    GROUP_NOT_FOUND = "GROUP_NOT_FOUND"
    GATEWAY_NOT_FOUND = "GATEWAY_NOT_FOUND"
    BREAK_NOT_FOUND = "BREAK_NOT_FOUND"
    TENANT_NOT_FOUND = "TENANT_NOT_FOUND"
    COMMAND_NOT_FOUND = "COMMAND_NOT_FOUND"
    BATCH_NOT_FOUND = "BATCH_NOT_FOUND"
    PATH_NOT_FOUND = "PATH_NOT_FOUND"
    METHOD_NOT_ALLOWED = "METHOD_NOT_ALLOWED"
    INVALID_STATE = "INVALID_STATE"
    FIELD_LOCKED = "FIELD_LOCKED"
    VERSION_CONFLICT = "VERSION_CONFLICT"
    STALE_VERDICT = "STALE_VERDICT"
    FOUR_EYES = "FOUR_EYES"
    NOT_AUTHORIZED = "NOT_AUTHORIZED"
    CANCEL_NOT_AUTHORIZED = "CANCEL_NOT_AUTHORIZED"
    PLACEMENT_EXCEEDS_ORDER = "PLACEMENT_EXCEEDS_ORDER"
    ALREADY_CANCELED = "ALREADY_CANCELED"
    ALLOCATION_MISMATCH = "ALLOCATION_MISMATCH"
    BREAK_OPEN = "BREAK_OPEN"
    HALTED = "HALTED"
    RESTRUCTURING = "RESTRUCTURING"
    MERGE_MISMATCH = "MERGE_MISMATCH"
    SPLIT_MISMATCH = "SPLIT_MISMATCH"
    NO_REMAINDER = "NO_REMAINDER"
    ALREADY_IN_BASKET = "ALREADY_IN_BASKET"
    CIRCULAR_HIERARCHY = "CIRCULAR_HIERARCHY"
    TENANT_CONFLICT = "TENANT_CONFLICT"
    WORKING_AGAINST = "WORKING_AGAINST"
    BAD_SIGNATURE = "BAD_SIGNATURE"
    STALE_ENVELOPE = "STALE_ENVELOPE"
    REPLAYED_NONCE = "REPLAYED_NONCE"
    VALIDATION_FAILED = "VALIDATION_FAILED"
    MALFORMED = "MALFORMED"
    UNAUTHENTICATED = "UNAUTHENTICATED"
    PAYLOAD_TOO_LARGE = "PAYLOAD_TOO_LARGE"
    IDEMPOTENCY_CONFLICT = "IDEMPOTENCY_CONFLICT"
    NOT_COMPUTABLE = "NOT_COMPUTABLE"
    RATE_LIMITED = "RATE_LIMITED"
    UNAVAILABLE = "UNAVAILABLE"
    INTERNAL = "INTERNAL"


MEANING: dict[Code, tuple[int, str]] = {
    Code.INVALID_INSTRUMENT: (422, "The instrument is not known, or names nothing tradable."),
    Code.INVALID_PORTFOLIO: (422, "The portfolio is not known, or the key may not touch it."),
    Code.INVALID_ACCOUNT: (422, "The account is not known, or the key may not touch it."),
    Code.INVALID_ORDER_TYPE: (422, "The order type and the prices given do not fit together."),
    Code.INVALID_VENUE: (422, "The venue is not one the order book can route to."),
    Code.INVALID_TENANT: (422, "The tenant is not known, or the key may not act for it."),
    Code.UNSUPPORTED_BY_VENUE: (422, "The venue cannot do this; nothing was sent."),
    Code.DUPLICATE_ORDER: (409, "The portfolio already has an order with this client_order_id."),
    Code.ORDER_NOT_FOUND: (404, "No order has this id."),
    Code.PLACEMENT_NOT_FOUND: (404, "No placement has this id."),
    Code.ALLOCATION_NOT_FOUND: (404, "No allocation has this id."),
    Code.EXCEPTION_NOT_FOUND: (404, "The order carries no open exception with this code."),
    Code.INSTRUMENT_NOT_FOUND: (404, "No instrument has this id."),
    Code.PORTFOLIO_NOT_FOUND: (404, "No portfolio has this id."),
    Code.ACCOUNT_NOT_FOUND: (404, "No account has this id."),
    Code.RULE_NOT_FOUND: (404, "No compliance rule has this id."),
    Code.BASKET_NOT_FOUND: (404, "No basket has this id."),
    Code.GROUP_NOT_FOUND: (404, "No account group has this id."),
    Code.GATEWAY_NOT_FOUND: (404, "No gateway of this name ever reported."),
    Code.BREAK_NOT_FOUND: (404, "No break has this id."),
    Code.TENANT_NOT_FOUND: (404, "No tenant has this name."),
    Code.COMMAND_NOT_FOUND: (404, "No signed command has this id."),
    Code.BATCH_NOT_FOUND: (404, "No batch of targets has this id."),
    Code.PATH_NOT_FOUND: (404, "Nothing lives at this path."),
    Code.METHOD_NOT_ALLOWED: (405, "The path exists, the method does not."),
    Code.INVALID_STATE: (409, "The command is not legal in the order's state; the answer names both."),
    Code.FIELD_LOCKED: (409, "The field cannot be changed, or no longer."),
    Code.VERSION_CONFLICT: (409, "The order has moved on since the version the caller saw."),
    Code.STALE_VERDICT: (409, "The verdict checked another version of the order."),
    Code.FOUR_EYES: (409, "The approver is the order's own creator."),
    Code.NOT_AUTHORIZED: (403, "None of the key's roles may do this."),
    Code.CANCEL_NOT_AUTHORIZED: (403, "None of the key's roles may cancel the order in this state."),
    Code.PLACEMENT_EXCEEDS_ORDER: (409, "Working, executed and new quantity exceed the ordered quantity."),
    Code.ALREADY_CANCELED: (409, "The placement is canceled already."),
    Code.ALLOCATION_MISMATCH: (409, "The allocations do not add up to the executed quantity."),
    Code.BREAK_OPEN: (409, "The order cannot be reconciled while a break is open."),
    Code.HALTED: (
        409,
        "Trading is halted for the firm, the portfolio, the account or the venue; cancels stay open.",
    ),
    Code.RESTRUCTURING: (409, "The order is being merged or split; try again when that has ended."),
    Code.MERGE_MISMATCH: (409, "The orders cannot become one; the answer names what differs."),
    Code.SPLIT_MISMATCH: (409, "The parts do not add up to the order's quantity."),
    Code.NO_REMAINDER: (
        409,
        "The order has no unfilled part left to carry on, or it was carried on already.",
    ),
    Code.ALREADY_IN_BASKET: (409, "The order belongs to another basket."),
    Code.CIRCULAR_HIERARCHY: (422, "An account group would contain itself."),
    Code.TENANT_CONFLICT: (409, "The portfolio or the account belongs to another tenant."),
    Code.WORKING_AGAINST: (409, "An order that works against the target has not ended; nothing was placed."),
    Code.BAD_SIGNATURE: (403, "The envelope's signature is missing, or none of ours."),
    Code.STALE_ENVELOPE: (403, "The envelope was signed too long ago, or in the future."),
    Code.REPLAYED_NONCE: (409, "The envelope's nonce was used before."),
    Code.NOT_COMPUTABLE: (409, "A price, a rate or a net asset value that the answer needs is not known."),
    Code.VALIDATION_FAILED: (422, "A field is missing, unknown, or out of range; the answer names it."),
    Code.MALFORMED: (400, "The request could not be read."),
    Code.UNAUTHENTICATED: (401, "The key is missing, unknown, expired or revoked."),
    Code.PAYLOAD_TOO_LARGE: (413, "The body is larger than the limit."),
    Code.IDEMPOTENCY_CONFLICT: (422, "The Idempotency-Key was used for another request."),
    Code.RATE_LIMITED: (429, "The key sends more requests than it may; try again after Retry-After seconds."),
    Code.UNAVAILABLE: (503, "A part the answer needs is away; try again after Retry-After seconds."),
    Code.INTERNAL: (500, "A defect: please report it with the request id."),
}


class Refused(Exception):
    """A command that the order book does not take. `facts` are JSON values: state, allowed, limit, ..."""

    def __init__(self, code: Code, message: str, **facts: Any) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.facts = facts

    @property
    def status(self) -> int:
        """The HTTP status of this refusal."""
        return MEANING[self.code][0]
