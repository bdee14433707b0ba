"""Where other books differ from ours, and the orders at a broker that are not ours."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

EXACT = sa.Text().with_variant(sa.Numeric(56, 18), "postgresql")
_TABLES = ("breaks", "foreign_orders", "foreign_executions")


def upgrade() -> None:
    _breaks()
    _foreign_orders()
    _foreign_executions()


def downgrade() -> None:
    for table in reversed(_TABLES):
        op.drop_table(table)


def _breaks() -> None:
    op.create_table(
        "breaks",
        sa.Column("break_id", sa.String(), nullable=False),
        sa.Column("category", sa.String(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("account", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("instrument_id", sa.String(), nullable=True),
        sa.Column("ours", sa.Text(), nullable=False),
        sa.Column("theirs", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("standing", sa.Boolean(), nullable=False),
        sa.Column("owner", sa.String(), nullable=False),
        sa.Column("opened_ns", sa.BigInteger(), nullable=False),
        sa.Column("seen_ns", sa.BigInteger(), nullable=False),
        sa.Column("closed_ns", sa.BigInteger(), nullable=True),
        sa.Column("closed_by", sa.String(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("break_id", name="pk_breaks"),
    )
    op.create_index("ix_breaks_compared", "breaks", ["source", "account", "category", "standing"])
    op.create_index("ix_breaks_status", "breaks", ["status", "break_id"])


def _foreign_orders() -> None:
    op.create_table(
        "foreign_orders",
        sa.Column("gateway", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("account", sa.String(), nullable=False),
        sa.Column("client_id", sa.BigInteger(), nullable=False),
        sa.Column("order_id", sa.BigInteger(), nullable=False),
        sa.Column("perm_id", sa.BigInteger(), nullable=False),
        sa.Column("order_ref", sa.Text(), nullable=False),
        sa.Column("symbol", sa.String(), nullable=False),
        sa.Column("sec_type", sa.String(), nullable=False),
        sa.Column("conid", sa.BigInteger(), nullable=False),
        sa.Column("action", sa.String(), nullable=False),
        sa.Column("quantity", EXACT, nullable=True),
        sa.Column("order_type", sa.String(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("working", sa.Boolean(), nullable=False),
        sa.Column("filled", EXACT, nullable=True),
        sa.Column("origin", sa.String(), nullable=False),
        sa.Column("first_seen_ns", sa.BigInteger(), nullable=False),
        sa.Column("last_seen_ns", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("gateway", "key", name="pk_foreign_orders"),
    )
    op.create_index("ix_foreign_orders_seen", "foreign_orders", ["gateway", "working", "last_seen_ns"])


def _foreign_executions() -> None:
    op.create_table(
        "foreign_executions",
        sa.Column("gateway", sa.String(), nullable=False),
        sa.Column("exec_id", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("account", sa.String(), nullable=False),
        sa.Column("conid", sa.BigInteger(), nullable=False),
        sa.Column("side", sa.String(), nullable=False),
        sa.Column("quantity", EXACT, nullable=False),
        sa.Column("price", EXACT, nullable=False),
        sa.Column("ts_ns", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("gateway", "exec_id", name="pk_foreign_executions"),
    )
    op.create_index("ix_foreign_executions_traded", "foreign_executions", ["gateway", "account", "ts_ns"])
