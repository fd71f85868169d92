"""Owns where things are sent from and to: countries and cities."""

from sqlalchemy import CHAR, CheckConstraint, ForeignKey, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from .base import Base, CountryCode, Degrees, Key


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
    country_code: Mapped[CountryCode] = mapped_column(
        ForeignKey("countries.code"), comment="The country it is in"
    )
    region: Mapped[str] = mapped_column(
        server_default=text("''"), comment="State or province where a name is not enough, else ''"
    )
    name: Mapped[str] = mapped_column(comment="As English has it, with its accents")
    latitude: Mapped[Degrees] = mapped_column(comment="Degrees north, WGS 84")
    longitude: Mapped[Degrees] = mapped_column(comment="Degrees east, WGS 84")
    timezone: Mapped[str] = mapped_column(comment="IANA time zone name")
