"""Owns what is sent: shipments, their pieces, and what happens to them."""

import uuid
from decimal import Decimal

from sqlalchemy import CheckConstraint, ForeignKey, Index, Numeric, desc, text
from sqlalchemy.orm import Mapped, mapped_column

from .base import Base, Currency, Key, Moment, Money, Now, is_currency, one_of


class Shipment(Base):
    """Something that someone wants carried from one door to another."""

    __tablename__ = "shipments"
    __table_args__ = (
        one_of("status", "draft", "open", "booked", "in_transit", "delivered", "cancelled"),
        is_currency(),
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
    sender_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("users.id"), comment="Who sends it")
    origin_address_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("addresses.id"), index=True, comment="Where it is picked up"
    )
    destination_address_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("addresses.id"), index=True, comment="Where it is delivered"
    )
    status: Mapped[str] = mapped_column(
        server_default="draft", comment="Where it stands now; how it came there is in its events"
    )
    pickup_after: Mapped[Moment] = mapped_column(comment="Not to be picked up before this")
    deliver_before: Mapped[Moment] = mapped_column(comment="To be delivered before this")
    declared_value: Mapped[Money] = mapped_column(comment="What the goods are insured for")
    currency: Mapped[Currency] = mapped_column(comment="ISO 4217")
    created_at: Mapped[Now] = mapped_column(comment="When it was drafted")
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
        ForeignKey("shipments.id", ondelete="CASCADE"), index=True, comment="What it is a part of"
    )
    description: Mapped[str] = mapped_column(comment="As the sender calls it")
    quantity: Mapped[int] = mapped_column(comment="Pieces of this kind")
    weight_kg: Mapped[Decimal] = mapped_column(Numeric(10, 3), comment="Of one piece")
    length_cm: Mapped[int | None] = mapped_column(comment="Of one piece; null when not measured")
    width_cm: Mapped[int | None] = mapped_column(comment="Of one piece; null when not measured")
    height_cm: Mapped[int | None] = mapped_column(comment="Of one piece; null when not measured")
    is_fragile: Mapped[bool] = mapped_column(
        server_default=text("false"), comment="Wants to be handled with care"
    )


class ShipmentEvent(Base):
    """Something that happened to a shipment. Rows are added, never changed."""

    __tablename__ = "shipment_events"
    __table_args__ = (
        one_of(
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
    shipment_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("shipments.id", ondelete="CASCADE"), comment="What it happened to"
    )
    kind: Mapped[str] = mapped_column(
        comment="One for each change of the shipment's status, and stops on the way"
    )
    city_id: Mapped[uuid.UUID | None] = mapped_column(
        ForeignKey("cities.id"), index=True, comment="Where; null when nobody said"
    )
    note: Mapped[str | None] = mapped_column(comment="What the carrier adds")
    happened_at: Mapped[Moment] = mapped_column(comment="In the world, as the carrier says")
    recorded_at: Mapped[Now] = mapped_column(comment="When we heard of it")
