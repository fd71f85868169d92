"""Owns what all tables share: names of keys and checks, types, and the metadata itself."""

import uuid
from datetime import datetime
from decimal import Decimal
from typing import Annotated

from sqlalchemy import CHAR, CheckConstraint, DateTime, MetaData, Numeric, Text, func
from sqlalchemy.orm import DeclarativeBase, mapped_column

NAMES = {
    "pk": "pk_%(table_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
}

Key = Annotated[uuid.UUID, mapped_column(primary_key=True, server_default=func.gen_random_uuid())]
Moment = Annotated[datetime, mapped_column(DateTime(timezone=True))]
Now = Annotated[datetime, mapped_column(DateTime(timezone=True), server_default=func.now())]
Money = Annotated[Decimal, mapped_column(Numeric(12, 2))]
Currency = Annotated[str, mapped_column(CHAR(3))]
CountryCode = Annotated[str, mapped_column(CHAR(2))]
Degrees = Annotated[Decimal, mapped_column(Numeric(7, 4))]


class Base(DeclarativeBase):
    """What all tables share."""

    metadata = MetaData(naming_convention=NAMES)
    type_annotation_map = {str: Text()}  # noqa: RUF012  SQLAlchemy reads it as it stands


def one_of(column: str, *words: str) -> CheckConstraint:
    """A check that a column holds one of few words."""
    listed = ", ".join(f"'{word}'" for word in words)
    return CheckConstraint(f"{column} IN ({listed})", name=column)


def is_currency(column: str = "currency") -> CheckConstraint:
    """A check that a column looks like an ISO 4217 code."""
    return CheckConstraint(f"{column} ~ '^[A-Z]{{3}}$'", name=column)
