"""Owns what is agreed on: quotes, bookings, payments and reviews."""

import uuid

from sqlalchemy import (
    CheckConstraint,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    SmallInteger,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from .base import Base, Currency, Key, Moment, Money, Now, is_currency, one_of


class Quote(Base):
    """What a carrier asks for carrying a shipment."""

    __tablename__ = "quotes"
    __table_args__ = (
        one_of("status", "offered", "accepted", "declined", "withdrawn", "expired"),
        is_currency(),
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
    shipment_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("shipments.id"), comment="What would be carried"
    )
    carrier_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("carriers.id"), index=True, comment="Who would carry it"
    )
    amount: Mapped[Money] = mapped_column(comment="For all of it, in the currency beside it")
    currency: Mapped[Currency] = mapped_column(comment="ISO 4217")
    status: Mapped[str] = mapped_column(
        server_default="offered", comment="offered, then accepted, declined, withdrawn or expired"
    )
    valid_until: Mapped[Moment] = mapped_column(comment="Not to be accepted after this")
    created_at: Mapped[Now] = mapped_column(comment="When it was offered")


class Booking(Base):
    """A quote that was accepted."""

    __tablename__ = "bookings"
    __table_args__ = (
        one_of("status", "confirmed", "completed", "cancelled"),
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
    quote_id: Mapped[uuid.UUID] = mapped_column(comment="What was accepted")
    shipment_id: Mapped[uuid.UUID] = mapped_column(comment="The quote's; here for uq_bookings_live")
    status: Mapped[str] = mapped_column(
        server_default="confirmed", comment="confirmed, then completed or cancelled"
    )
    booked_at: Mapped[Now] = mapped_column(comment="When the quote was accepted")


class Payment(Base):
    """Money that moved, or should have, for a booking."""

    __tablename__ = "payments"
    __table_args__ = (
        one_of("status", "pending", "captured", "failed", "refunded"),
        one_of("method", "card", "transfer", "invoice"),
        is_currency(),
        CheckConstraint("amount > 0", name="amount"),
        CheckConstraint("status <> 'captured' OR captured_at IS NOT NULL", name="captured_at"),
        # what is asked of the provider again: WHERE status = 'pending' ORDER BY created_at
        Index("ix_payments_pending", "created_at", postgresql_where=text("status = 'pending'")),
        {"comment": "Money that moved, or should have, for a booking"},
    )

    id: Mapped[Key]
    booking_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("bookings.id"), index=True, comment="What is paid for"
    )
    amount: Mapped[Money] = mapped_column(comment="In the currency beside it")
    currency: Mapped[Currency] = mapped_column(comment="ISO 4217")
    method: Mapped[str] = mapped_column(comment="card, transfer or invoice")
    status: Mapped[str] = mapped_column(
        server_default="pending",
        comment="pending until the provider says captured or failed; refunded after that",
    )
    provider_reference: Mapped[str] = mapped_column(
        unique=True, comment="The payment provider's own id; makes a repeated notice harmless"
    )
    created_at: Mapped[Now] = mapped_column(comment="When we asked for it")
    captured_at: Mapped[Moment | None] = mapped_column(
        comment="When the provider had it; null before"
    )


class Review(Base):
    """What a sender says of a carrier after a booking."""

    __tablename__ = "reviews"
    __table_args__ = (
        CheckConstraint("rating BETWEEN 1 AND 5", name="rating"),
        {"comment": "What a sender says of a carrier, once for each booking"},
    )

    id: Mapped[Key]
    booking_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("bookings.id"), unique=True, comment="What is reviewed"
    )
    author_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("users.id"), index=True, comment="Who wrote it"
    )
    rating: Mapped[int] = mapped_column(SmallInteger, comment="1 to 5, 5 is best")
    comment: Mapped[str | None] = mapped_column(
        comment="In the author's words; null for stars alone"
    )
    created_at: Mapped[Now] = mapped_column(comment="When it was written")
