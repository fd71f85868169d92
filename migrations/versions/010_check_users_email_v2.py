"""Check users.email_v2: an address, 320 characters at most.

What running code sees: an address over 320 characters is refused from the first moment, also when
code of before writes it to `email`, because the trigger copies it. ACCESS EXCLUSIVE on users for a
moment, then a scan under SHARE UPDATE EXCLUSIVE, which lets everyone read and write. Where an old
row is longer, the check is taken away again and the revision says so.
"""

from collections.abc import Sequence

from alembic import op

from shippyard.migration import ops

revision: str = "010"
down_revision: str | Sequence[str] | None = "009"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    ops.add_check(
        "ck_users_email_v2",
        "users",
        "position('@' in email_v2) > 1 AND char_length(email_v2) <= 320",
    )


def downgrade() -> None:
    op.drop_constraint(op.f("ck_users_email_v2"), "users", type_="check")
