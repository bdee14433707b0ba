"""What a broker's statements say, kept as they came and trade by trade."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

INSTANT = sa.DateTime().with_variant(postgresql.TIMESTAMP(timezone=True), "postgresql")


def upgrade() -> None:
    op.create_table(
        "statements",
        sa.Column("statement_id", sa.String(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("account", sa.String(), nullable=False),
        sa.Column("from_date", sa.Date(), nullable=False),
        sa.Column("to_date", sa.Date(), nullable=False),
        sa.Column("generated_at", INSTANT, nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("rows", sa.Integer(), nullable=False),
        sa.Column("fetched_ns", sa.BigInteger(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("statement_id", name="pk_statements"),
    )
    op.create_index("ix_statements_of", "statements", ["source", "account", "to_date"])
    op.create_table(
        "statement_trades",
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("account", sa.String(), nullable=False),
        sa.Column("execution", sa.String(), nullable=False),
        sa.Column("rank", sa.Integer(), nullable=False),
        sa.Column("trade_id", sa.String(), nullable=False),
        sa.Column("order_ref", sa.String(), nullable=False),
        sa.Column("statement_id", sa.String(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("source", "account", "execution", name="pk_statement_trades"),
    )
    op.create_index("ix_statement_trades_trade", "statement_trades", ["source", "account", "trade_id"])
    op.create_index("ix_statement_trades_ref", "statement_trades", ["order_ref"])


def downgrade() -> None:
    op.drop_table("statement_trades")
    op.drop_table("statements")
