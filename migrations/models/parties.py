"""Owns who takes part: people, their companies, preferences and doors, and carriers."""

import uuid

from sqlalchemy import CheckConstraint, ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from .base import Base, CountryCode, Currency, Key, Now, is_currency, one_of


class Company(Base):
    """A company whose people send things."""

    __tablename__ = "companies"
    __table_args__ = (
        UniqueConstraint("country_code", "registration_number"),
        {"comment": "Companies whose people send things"},
    )

    id: Mapped[Key]
    country_code: Mapped[CountryCode] = mapped_column(
        ForeignKey("countries.code"), comment="Where it is registered"
    )
    registration_number: Mapped[str] = mapped_column(comment="As its country's register has it")
    name: Mapped[str] = mapped_column(comment="As its register has it")
    created_at: Mapped[Now] = mapped_column(comment="When it was entered")
    vat_number: Mapped[str | None] = mapped_column(
        unique=True, comment="With its country's letters, as invoices show it"
    )


class User(Base):
    """A person with an account."""

    __tablename__ = "users"
    __table_args__ = (
        one_of("status", "invited", "active", "suspended", "closed"),
        one_of("subscription_tier", "basic", "plus", "business"),
        CheckConstraint(
            "position('@' in email_v2) > 1 AND char_length(email_v2) <= 320", name="email_v2"
        ),
        # sign-in: WHERE lower(email_v2) = lower($1); one account per address however it is written
        Index("uq_users_lower_email_v2", text("lower(email_v2)"), unique=True),
        {"comment": "People with an account; company_id is null for a private person"},
    )

    id: Mapped[Key]
    company_id: Mapped[uuid.UUID | None] = mapped_column(
        ForeignKey("companies.id"),
        index=True,
        comment="Whom the person sends for; null for a private person",
    )
    full_name: Mapped[str] = mapped_column(comment="As the person writes it")
    phone: Mapped[str | None] = mapped_column(comment="E.164, with the plus sign")
    status: Mapped[str] = mapped_column(
        server_default="invited",
        comment="invited until the first sign-in, then active; suspended by us, or closed",
    )
    created_at: Mapped[Now] = mapped_column(comment="When the account was made")
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
        is_currency(),
        one_of("units", "metric", "imperial"),
        {"comment": "How a person wants to be shown and told things; no row means the defaults"},
    )

    user_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("users.id", ondelete="CASCADE"), primary_key=True, comment="Whose they are"
    )
    language: Mapped[str] = mapped_column(server_default="en", comment="BCP 47 language tag")
    currency: Mapped[Currency] = mapped_column(
        server_default="EUR", comment="ISO 4217; prices are shown in it"
    )
    units: Mapped[str] = mapped_column(server_default="metric", comment="metric or imperial")
    notify_by_email: Mapped[bool] = mapped_column(
        server_default=text("true"), comment="Writes when a shipment moves"
    )
    notify_by_sms: Mapped[bool] = mapped_column(
        server_default=text("false"), comment="The same, to the phone"
    )
    updated_at: Mapped[Now] = mapped_column(comment="Set by the application with every change")


class Address(Base):
    """A door where things are picked up or delivered."""

    __tablename__ = "addresses"
    __table_args__ = ({"comment": "Doors where things are picked up or delivered"},)

    id: Mapped[Key]
    user_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("users.id"), index=True, comment="Whose door it is"
    )
    city_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("cities.id"), index=True, comment="Where it is"
    )
    label: Mapped[str] = mapped_column(comment="What its owner calls it: home, warehouse 2")
    line1: Mapped[str] = mapped_column(comment="Street and number")
    line2: Mapped[str | None] = mapped_column(comment="Floor, gate, care of")
    postal_code: Mapped[str | None] = mapped_column(
        comment="As the country writes it; null where there are none"
    )
    created_at: Mapped[Now] = mapped_column(comment="When it was entered")


class Carrier(Base):
    """A company that carries things."""

    __tablename__ = "carriers"
    __table_args__ = (
        one_of("status", "applied", "approved", "suspended"),
        {"comment": "Companies that carry things and quote for it"},
    )

    id: Mapped[Key]
    country_code: Mapped[CountryCode] = mapped_column(
        ForeignKey("countries.code"), index=True, comment="Where it is registered"
    )
    name: Mapped[str] = mapped_column(unique=True, comment="As people know it")
    contact_email: Mapped[str] = mapped_column(comment="Where we write to")
    status: Mapped[str] = mapped_column(
        server_default="applied", comment="applied until we looked; then approved or suspended"
    )
    created_at: Mapped[Now] = mapped_column(comment="When it applied")
    updated_at: Mapped[Now] = mapped_column(comment="Set by the application with every change")
