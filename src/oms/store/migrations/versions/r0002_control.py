"""Compliance that counts, halts, baskets, account groups, and a journal of what is no order's event."""

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
        sa.Column("at", INSTANT, nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("order_id", "gate", "order_version", name="pk_verdicts"),
    )
    op.create_index("ix_verdicts_portfolio", "verdicts", ["portfolio_id", "at"], unique=False)
    op.create_table(
        "reservations",
        sa.Column("order_id", sa.String(), nullable=False),
        sa.Column("portfolio_id", sa.String(), nullable=False),
        sa.Column("account_id", sa.String(), nullable=False),
        sa.Column("instrument_id", sa.String(), nullable=False),
        sa.Column("direction", sa.String(), nullable=False),
        sa.Column("quantity", EXACT, nullable=False),
        sa.Column("price", EXACT, nullable=True),
        sa.Column("at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("order_id", "portfolio_id", name="pk_reservations"),
    )
    op.create_index(
        "ix_reservations_portfolio", "reservations", ["portfolio_id", "instrument_id"], unique=False
    )
    op.create_table(
        "breaches",
        sa.Column("rule_id", sa.String(), nullable=False),
        sa.Column("portfolio_id", sa.String(), nullable=False),
        sa.Column("since", INSTANT, nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("rule_id", "portfolio_id", name="pk_breaches"),
    )
