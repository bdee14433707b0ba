"""A signed command in words, for a person who reads the Temporal Web UI."""

from collections.abc import Iterator

from oms.domain.programs.carrying import Verified
from oms.domain.programs.outcomes import Commanded, CommandOutcome

_SHOWN = 50
"""So many orders of a command are shown."""


def outcome_in_words(outcome: CommandOutcome, verified: Verified, key: str) -> str:
    """Markdown: what it is, for whom, by whom, where it is, and what became of each order."""
    what = f"**{verified.kind}** for tenant **{verified.tenant}**" if verified.kind else "A signed command"
    lines = [
        f"{what}, handed in by `{key}` as `{outcome.message_id}`: **{outcome.status}**",
        "",
        f"Key `{outcome.idem_key}`, {_entries(verified)}.",
        *_outcome(outcome),
    ]
    return "\n".join(lines)


def _entries(verified: Verified) -> str:
    submit, flatten = verified.submit, verified.flatten
    if submit is not None:
        return f"{len(submit.orders)} entries{', a dry run' if submit.dry_run else ''}"
    if flatten is not None:
        dry = ", a dry run" if flatten.dry_run else ""
        return f"flatten {', '.join(flatten.sec_types)} in {flatten.account or 'the default account'}{dry}"
    return "no entries"


def _outcome(outcome: CommandOutcome) -> Iterator[str]:
    if outcome.refusal is not None:
        yield f"- Refused, nothing was done: **{outcome.refusal.code}** {outcome.refusal.message}"
    for order in outcome.orders[:_SHOWN]:
        yield f"- {order.order_index} {order.part}: {order.quantity} {order.symbol} {_became(order)}"
    if len(outcome.orders) > _SHOWN:
        yield f"- and {len(outcome.orders) - _SHOWN} more"
    if outcome.detail:
        yield f"- {outcome.detail}"


def _became(order: Commanded) -> str:
    opened = f"`{order.order_id}`" if order.order_id else "not opened"
    refused = f", **{order.refusal.code}** {order.refusal.message}" if order.refusal else ""
    return f"{opened}{refused}{f', {order.detail}' if order.detail else ''}"
