"""Owns what the Shippyar schema is at head: every table, key, check and index, typed.

Autogenerate compares databases with this; a test compares it with what the revisions build, object
by object. It refuses to know how the schema came about: that is in `versions/`.

Rules that hold for every table:

- Keys are uuid from `gen_random_uuid()`, which every supported PostgreSQL has built in. A country's
  key is its ISO code, because that is what people and other systems write.
- Moments are `timestamptz`. Money is `numeric(12, 2)` beside its ISO 4217 currency.
- What can be one of few words is text with a check and not an enum type: a word is added by a check
  that is validated later, without a rewrite, and can be taken away again.
- Every foreign key has an index that begins with its columns.
"""

import uuid
from datetime import datetime
from decimal import Decimal
from typing import Annotated

from sqlalchemy import (
    CHAR,
    CheckConstraint,
    DateTime,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    MetaData,
    Numeric,
    SmallInteger,
    Text,
    UniqueConstraint,
    desc,
    func,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

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


def _one_of(column: str, *words: str) -> CheckConstraint:
    listed = ", ".join(f"'{word}'" for word in words)
    return CheckConstraint(f"{column} IN ({listed})", name=column)


def _currency(column: str = "currency") -> CheckConstraint:
    return CheckConstraint(f"{column} ~ '^[A-Z]{{3}}$'", name=column)


class Country(Base):
    """A country, territory or area of ISO 3166-1."""

    __tablename__ = "countries"
    __table_args__ = (
        CheckConstraint("code ~ '^[A-Z]{2}$'", name="code"),
        CheckConstraint("alpha3 ~ '^[A-Z]{3}$'", name="alpha3"),
        CheckConstraint("numeric_code ~ '^[0-9]{3}$'", name="numeric_code"),
        {"comment": "Countries, territories and areas of ISO 3166-1; reference data"},
    )

    code: Mapped[CountryCode] = mapped_column(primary_key=True, comment="ISO 3166-1 alpha-2")
    alpha3: Mapped[str] = mapped_column(CHAR(3), unique=True, comment="ISO 3166-1 alpha-3")
    numeric_code: Mapped[str] = mapped_column(CHAR(3), unique=True, comment="ISO 3166-1 numeric")
    name: Mapped[str] = mapped_column(unique=True, comment="Short name in English")


class City(Base):
    """A place between which things are sent."""

    __tablename__ = "cities"
    __table_args__ = (
        # also the index of country_code
        UniqueConstraint("country_code", "region", "name"),
        CheckConstraint("latitude BETWEEN -90 AND 90", name="latitude"),
        CheckConstraint("longitude BETWEEN -180 AND 180", name="longitude"),
        {"comment": "Places between which things are sent; reference data"},
    )

    id: Mapped[Key]
    country_code: Mapped[CountryCode] = mapped_column(ForeignKey("countries.code"))
    region: Mapped[str] = mapped_column(
        server_default=text("''"), comment="State or province where a name is not enough, else ''"
    )
    name: Mapped[str]
    latitude: Mapped[Degrees] = mapped_column(comment="Degrees north, WGS 84")
    longitude: Mapped[Degrees] = mapped_column(comment="Degrees east, WGS 84")
    timezone: Mapped[str] = mapped_column(comment="IANA time zone name")


class Company(Base):
    """A company whose people send things."""

    __tablename__ = "companies"
    __table_args__ = (
        UniqueConstraint("country_code", "registration_number"),
        {"comment": "Companies whose people send things"},
    )

    id: Mapped[Key]
    country_code: Mapped[CountryCode] = mapped_column(ForeignKey("countries.code"))
    registration_number: Mapped[str] = mapped_column(comment="As its country's register has it")
    name: Mapped[str]
    created_at: Mapped[Now]
    vat_number: Mapped[str | None] = mapped_column(
        unique=True, comment="With its country's letters, as invoices show it"
    )


class User(Base):
    """A person with an account."""

    __tablename__ = "users"
    __table_args__ = (
        _one_of("status", "invited", "active", "suspended", "closed"),
        _one_of("subscription_tier", "basic", "plus", "business"),
        CheckConstraint(
            "position('@' in email_v2) > 1 AND char_length(email_v2) <= 320", name="email_v2"
        ),
        # sign-in: WHERE lower(email_v2) = lower($1); one account per address however it is written
        Index("uq_users_lower_email_v2", text("lower(email_v2)"), unique=True),
        {"comment": "People with an account; company_id is null for a private person"},
    )

    id: Mapped[Key]
    company_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("companies.id"), index=True)
    full_name: Mapped[str]
    phone: Mapped[str | None] = mapped_column(comment="E.164, with the plus sign")
    status: Mapped[str] = mapped_column(server_default="invited")
    created_at: Mapped[Now]
    updated_at: Mapped[Now] = mapped_column(comment="Set by the application with every change")
    subscription_tier: Mapped[str] = mapped_column(
        server_default="basic", comment="What the person pays for: basic, plus or business"
    )
    email_v2: Mapped[str] = mapped_column(
        comment="Where the person is written to, 320 characters at most; signs in with it"
    )
    country_code: Mapped[CountryCode | None] = mapped_column(
        ForeignKey("countries.code"), index=True, comment="Where the person pays taxes"
    )


class UserPreferences(Base):
    """How a person wants to be shown and told things."""

    __tablename__ = "user_preferences"
    __table_args__ = (
        _currency(),
        _one_of("units", "metric", "imperial"),
        {"comment": "How a person wants to be shown and told things; no row means the defaults"},
    )

    user_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("users.id", ondelete="CASCADE"), primary_key=True
    )
    language: Mapped[str] = mapped_column(server_default="en", comment="BCP 47 language tag")
    currency: Mapped[Currency] = mapped_column(
        server_default="EUR", comment="ISO 4217; prices are shown in it"
    )
    units: Mapped[str] = mapped_column(server_default="metric")
    notify_by_email: Mapped[bool] = mapped_column(server_default=text("true"))
    notify_by_sms: Mapped[bool] = mapped_column(server_default=text("false"))
    updated_at: Mapped[Now] = mapped_column(comment="Set by the application with every change")


class Address(Base):
    """A door where things are picked up or delivered."""

    __tablename__ = "addresses"
    __table_args__ = ({"comment": "Doors where things are picked up or delivered"},)

    id: Mapped[Key]
    user_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("users.id"), index=True)
    city_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("cities.id"), index=True)
    label: Mapped[str] = mapped_column(comment="What its owner calls it: home, warehouse 2")
    line1: Mapped[str]
    line2: Mapped[str | None]
    postal_code: Mapped[str | None]
    created_at: Mapped[Now]


class Carrier(Base):
    """A company that carries things."""

    __tablename__ = "carriers"
    __table_args__ = (
        _one_of("status", "applied", "approved", "suspended"),
        {"comment": "Companies that carry things and quote for it"},
    )

    id: Mapped[Key]
    country_code: Mapped[CountryCode] = mapped_column(ForeignKey("countries.code"), index=True)
    name: Mapped[str] = mapped_column(unique=True)
    contact_email: Mapped[str]
    status: Mapped[str] = mapped_column(server_default="applied")
    created_at: Mapped[Now]
    updated_at: Mapped[Now] = mapped_column(comment="Set by the application with every change")


class Shipment(Base):
    """Something that someone wants carried from one door to another."""

    __tablename__ = "shipments"
    __table_args__ = (
        _one_of("status", "draft", "open", "booked", "in_transit", "delivered", "cancelled"),
        _currency(),
        CheckConstraint("declared_value >= 0", name="declared_value"),
        CheckConstraint("pickup_after < deliver_before", name="times"),
        # the board that carriers look at: WHERE status = 'open' ORDER BY created_at DESC LIMIT $1
        Index("ix_shipments_open", desc("created_at"), postgresql_where=text("status = 'open'")),
        # a person's own list: WHERE sender_id = $1 ORDER BY created_at DESC; serves the key too
        Index("ix_shipments_sender_id_created_at", "sender_id", desc("created_at")),
        {"comment": "What someone wants carried from one door to another"},
    )

    id: Mapped[Key]
    reference: Mapped[str] = mapped_column(unique=True, comment="What people say on the phone")
    sender_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("users.id"))
    origin_address_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("addresses.id"), index=True)
    destination_address_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("addresses.id"), index=True
    )
    status: Mapped[str] = mapped_column(
        server_default="draft", comment="Where it stands now; how it came there is in its events"
    )
    pickup_after: Mapped[Moment]
    deliver_before: Mapped[Moment]
    declared_value: Mapped[Money] = mapped_column(comment="What the goods are insured for")
    currency: Mapped[Currency] = mapped_column(comment="ISO 4217")
    created_at: Mapped[Now]
    updated_at: Mapped[Now] = mapped_column(comment="Set by the application with every change")


class ShipmentItem(Base):
    """One kind of piece in a shipment."""

    __tablename__ = "shipment_items"
    __table_args__ = (
        CheckConstraint("quantity > 0", name="quantity"),
        CheckConstraint("weight_kg > 0", name="weight_kg"),
        CheckConstraint("length_cm > 0 AND width_cm > 0 AND height_cm > 0", name="size"),
        {"comment": "Pieces of a shipment, one row for each kind"},
    )

    id: Mapped[Key]
    shipment_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("shipments.id", ondelete="CASCADE"), index=True
    )
    description: Mapped[str]
    quantity: Mapped[int]
    weight_kg: Mapped[Decimal] = mapped_column(Numeric(10, 3), comment="Of one piece")
    length_cm: Mapped[int | None]
    width_cm: Mapped[int | None]
    height_cm: Mapped[int | None]
    is_fragile: Mapped[bool] = mapped_column(server_default=text("false"))


class ShipmentEvent(Base):
    """Something that happened to a shipment. Rows are added, never changed."""

    __tablename__ = "shipment_events"
    __table_args__ = (
        _one_of(
            "kind",
            "created",
            "opened",
            "booked",
            "picked_up",
            "arrived",
            "departed",
            "delivered",
            "cancelled",
        ),
        # tracking page: WHERE shipment_id = $1 ORDER BY happened_at; serves the key too
        Index("ix_shipment_events_shipment_id_happened_at", "shipment_id", "happened_at"),
        {"comment": "What happened to a shipment; rows are added, never changed"},
    )

    id: Mapped[Key]
    shipment_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("shipments.id", ondelete="CASCADE"))
    kind: Mapped[str]
    city_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("cities.id"), index=True)
    note: Mapped[str | None]
    happened_at: Mapped[Moment] = mapped_column(comment="In the world, as the carrier says")
    recorded_at: Mapped[Now] = mapped_column(comment="When we heard of it")


class Quote(Base):
    """What a carrier asks for carrying a shipment."""

    __tablename__ = "quotes"
    __table_args__ = (
        _one_of("status", "offered", "accepted", "declined", "withdrawn", "expired"),
        _currency(),
        CheckConstraint("amount > 0", name="amount"),
        # what a booking points at, so that its shipment is the quote's
        UniqueConstraint("id", "shipment_id"),
        # a carrier has one standing offer per shipment
        Index(
            "uq_quotes_standing",
            "shipment_id",
            "carrier_id",
            unique=True,
            postgresql_where=text("status = 'offered'"),
        ),
        # a shipment's quotes, cheapest first: WHERE shipment_id = $1 ORDER BY amount; read from the
        # index alone
        Index(
            "ix_quotes_shipment_id_amount",
            "shipment_id",
            "amount",
            postgresql_include=["currency", "carrier_id", "status"],
        ),
        {"comment": "What carriers ask for carrying a shipment"},
    )

    id: Mapped[Key]
    shipment_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("shipments.id"))
    carrier_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("carriers.id"), index=True)
    amount: Mapped[Money]
    currency: Mapped[Currency] = mapped_column(comment="ISO 4217")
    status: Mapped[str] = mapped_column(server_default="offered")
    valid_until: Mapped[Moment]
    created_at: Mapped[Now]


class Booking(Base):
    """A quote that was accepted."""

    __tablename__ = "bookings"
    __table_args__ = (
        _one_of("status", "confirmed", "completed", "cancelled"),
        ForeignKeyConstraint(["quote_id", "shipment_id"], ["quotes.id", "quotes.shipment_id"]),
        UniqueConstraint("quote_id", "shipment_id"),
        # a shipment is booked once at a time; a cancelled booking makes room for another
        Index(
            "uq_bookings_live",
            "shipment_id",
            unique=True,
            postgresql_where=text("status <> 'cancelled'"),
        ),
        {"comment": "Quotes that were accepted"},
    )

    id: Mapped[Key]
    quote_id: Mapped[uuid.UUID]
    shipment_id: Mapped[uuid.UUID] = mapped_column(comment="The quote's; here for uq_bookings_live")
    status: Mapped[str] = mapped_column(server_default="confirmed")
    booked_at: Mapped[Now]


class Payment(Base):
    """Money that moved, or should have, for a booking."""

    __tablename__ = "payments"
    __table_args__ = (
        _one_of("status", "pending", "captured", "failed", "refunded"),
        _one_of("method", "card", "transfer", "invoice"),
        _currency(),
        CheckConstraint("amount > 0", name="amount"),
        CheckConstraint("status <> 'captured' OR captured_at IS NOT NULL", name="captured_at"),
        # what is asked of the provider again: WHERE status = 'pending' ORDER BY created_at
        Index("ix_payments_pending", "created_at", postgresql_where=text("status = 'pending'")),
        {"comment": "Money that moved, or should have, for a booking"},
    )

    id: Mapped[Key]
    booking_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("bookings.id"), index=True)
    amount: Mapped[Money]
    currency: Mapped[Currency] = mapped_column(comment="ISO 4217")
    method: Mapped[str]
    status: Mapped[str] = mapped_column(server_default="pending")
    provider_reference: Mapped[str] = mapped_column(
        unique=True, comment="The payment provider's own id; makes a repeated notice harmless"
    )
    created_at: Mapped[Now]
    captured_at: Mapped[Moment | None]


class Review(Base):
    """What a sender says of a carrier after a booking."""

    __tablename__ = "reviews"
    __table_args__ = (
        CheckConstraint("rating BETWEEN 1 AND 5", name="rating"),
        {"comment": "What a sender says of a carrier, once for each booking"},
    )

    id: Mapped[Key]
    booking_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("bookings.id"), unique=True)
    author_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("users.id"), index=True)
    rating: Mapped[int] = mapped_column(SmallInteger, comment="1 to 5, 5 is best")
    comment: Mapped[str | None]
    created_at: Mapped[Now]
