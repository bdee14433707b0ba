"""Who trades a broker's account: its placements and their orders."""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_placements_account", "placements", ["account", "order_id"], unique=False)


def downgrade() -> None:
    op.drop_index("ix_placements_account", "placements")
