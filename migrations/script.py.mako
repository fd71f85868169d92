"""${message}

What running code sees: say here what the code of before and the code of after find at this point,
which locks are taken and for how long, and what a downgrade gives back (a dropped column's rows
are not among it). A long scan or a backfill is a revision of its own; so is anything CONCURRENTLY.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
${imports if imports else ""}
revision: str = ${repr(up_revision)}
down_revision: str | Sequence[str] | None = ${repr(down_revision)}
branch_labels: str | Sequence[str] | None = ${repr(branch_labels)}
depends_on: str | Sequence[str] | None = ${repr(depends_on)}


def upgrade() -> None:
    ${upgrades if upgrades else "pass"}


def downgrade() -> None:
    ${downgrades if downgrades else "pass"}
