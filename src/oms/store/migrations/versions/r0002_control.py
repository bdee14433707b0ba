"""Compliance that counts, halts, baskets, account groups, and a journal of what is no order's event."""

import json
from decimal import Context, Decimal
from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

EXACT = sa.Text().with_variant(sa.Numeric(56, 18), "postgresql")
INSTANT = sa.DateTime().with_variant(postgresql.TIMESTAMP(timezone=True), "postgresql")
CONTROL = "control"
_EXACT = Context(prec=100)
_IN_FLIGHT = ("PRE_TRADE_COMPLIANCE_PASSED", "SENT_TO_TRADER", "ROUTED", "PARTIALLY_FILLED", "FILLED")
_TABLES = (
    "control_journal",
    "halts",
    "baskets",
    "account_groups",
    "invariants",
    "rule_versions",
    "verdicts",
    "reservations",
    "breaches",
)


def upgrade() -> None:
    _control()
    _named_things()
    _compliance()
    head = sa.table("stream_head", sa.column("name"), sa.column("position"))
    op.bulk_insert(head, [{"name": CONTROL, "position": 0}])
    _keep_rules_as_they_are()
    _reserve_for_orders_in_flight()


def downgrade() -> None:
    head = sa.table("stream_head", sa.column("name"))
    op.execute(head.delete().where(head.c.name == CONTROL))
    for table in reversed(_TABLES):
        op.drop_table(table)


def _control() -> None:
    op.create_table(
        "control_journal",
        sa.Column("position", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("portfolio_id", sa.String(), nullable=True),
        sa.Column("order_id", sa.String(), nullable=True),
        sa.Column("ts_ns", sa.BigInteger(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("position", name="pk_control_journal"),
    )
    op.create_index("ix_control_journal_kind", "control_journal", ["kind", "position"], unique=False)
    op.create_table(
        "halts",
        sa.Column("scope", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("halted_by", sa.String(), nullable=False),
        sa.Column("since", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("scope", "subject", name="pk_halts"),
    )
    op.create_table(
        "invariants",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("broken", sa.Boolean(), nullable=False),
        sa.Column("checked_at", INSTANT, nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_invariants"),
    )


def _named_things() -> None:
    op.create_table(
        "baskets",
        sa.Column("basket_id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("created_by", sa.String(), nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("basket_id", name="pk_baskets"),
    )
    op.create_index("ix_baskets_newest", "baskets", ["created_at", "basket_id"], unique=False)
    op.create_table(
        "account_groups",
        sa.Column("group_id", sa.String(), nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("group_id", name="pk_account_groups"),
    )
    op.create_index("ix_account_groups_newest", "account_groups", ["created_at", "group_id"], unique=False)


def _compliance() -> None:
    op.create_table(
        "rule_versions",
        sa.Column("rule_id", sa.String(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("changed_by", sa.String(), nullable=False),
        sa.Column("changed_at", INSTANT, nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("rule_id", "version", name="pk_rule_versions"),
    )
    op.create_table(
        "verdicts",
        sa.Column("order_id", sa.String(), nullable=False),
        sa.Column("gate", sa.String(), nullable=False),
        sa.Column("order_version", sa.Integer(), nullable=False),
        sa.Column("portfolio_id", sa.String(), nullable=False),
        sa.Column("instrument_id", sa.String(), nullable=False),
        sa.Column("direction", sa.String(), nullable=False),
        sa.Column("quantity", EXACT, nullable=False),
        sa.Column("limit_price", EXACT, nullable=True),
        sa.Column("at", INSTANT, nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("order_id", "gate", "order_version", "portfolio_id", name="pk_verdicts"),
    )
    op.create_index("ix_verdicts_portfolio", "verdicts", ["portfolio_id", "at"], unique=False)
    op.create_table(
        "reservations",
        sa.Column("order_id", sa.String(), nullable=False),
        sa.Column("portfolio_id", sa.String(), nullable=False),
        sa.Column("instrument_id", sa.String(), nullable=False),
        sa.Column("direction", sa.String(), nullable=False),
        sa.Column("quantity", EXACT, nullable=False),
        sa.Column("price", EXACT, nullable=True),
        sa.Column("unallocated", EXACT, nullable=False),
        sa.PrimaryKeyConstraint("order_id", "portfolio_id", name="pk_reservations"),
    )
    op.create_index(
        "ix_reservations_portfolio",
        "reservations",
        ["portfolio_id", "instrument_id", "direction"],
        unique=False,
    )
    op.create_table(
        "breaches",
        sa.Column("rule_id", sa.String(), nullable=False),
        sa.Column("portfolio_id", sa.String(), nullable=False),
        sa.Column("since", INSTANT, nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("rule_id", "portfolio_id", name="pk_breaches"),
    )


def _keep_rules_as_they_are() -> None:
    """The version each rule is at; who made the earlier ones, and why, nobody wrote down."""
    rules = sa.table("rules", sa.column("body"), sa.column("created_at", INSTANT))
    versions = sa.table(
        "rule_versions",
        *(sa.column(name) for name in ("rule_id", "version", "changed_by", "reason", "body")),
        sa.column("changed_at", INSTANT),
    )
    rows = []
    for body, created_at in op.get_bind().execute(sa.select(rules.c.body, rules.c.created_at)):
        rule = json.loads(body)
        rows.append(
            {
                "rule_id": rule["rule_id"],
                "version": rule["version"],
                "changed_by": rule["created_by"],
                "changed_at": created_at,
                "reason": None,
                "body": body,
            }
        )
    op.bulk_insert(versions, rows)


def _reserve_for_orders_in_flight() -> None:
    """What the orders that may still trade hold, so that no limit is free until their next event."""
    names = ("order_id", "portfolio_id", "instrument_id", "direction")
    orders = sa.table(
        "orders",
        *(sa.column(name) for name in (*names, "state", "body")),
        *(sa.column(name, EXACT) for name in ("ordered_quantity", "executed_quantity")),
    )
    reservations = sa.table(
        "reservations",
        *(sa.column(name) for name in names),
        *(sa.column(name, EXACT) for name in ("quantity", "price", "unallocated")),
    )
    rows = []
    for row in op.get_bind().execute(sa.select(orders).where(orders.c.state.in_(_IN_FLIGHT))).mappings():
        left = _EXACT.subtract(Decimal(row["ordered_quantity"]), Decimal(row["executed_quantity"]))
        limit = json.loads(row["body"]).get("limit_price")
        if left > 0:
            rows.append(
                {
                    **{name: row[name] for name in names},
                    "quantity": _number(left),
                    "price": None if limit is None else _number(Decimal(limit)),
                    "unallocated": _number(Decimal(0)),
                }
            )
    op.bulk_insert(reservations, rows)


def _number(value: Decimal) -> Any:
    """A decimal as the EXACT column takes it: plain text on SQLite."""
    if op.get_bind().dialect.name == "postgresql":
        return value
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text
