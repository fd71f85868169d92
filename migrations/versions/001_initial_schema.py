"""Initial schema: places, parties, shipments, and the deals made about them.

What running code sees: nothing, there is none yet. All of it is one transaction; every lock is on
a table that is made here. A downgrade drops every table and every row in it.
"""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from alembic import op

revision: str = "001"
down_revision: str | Sequence[str] | None = None
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

# In the order they are made: what is pointed at comes first.
TABLES = (
    "countries",
    "cities",
    "companies",
    "users",
    "addresses",
    "carriers",
    "shipments",
    "shipment_items",
    "shipment_events",
    "quotes",
    "bookings",
    "payments",
    "reviews",
)


def upgrade() -> None:
    _create_places()
    _create_parties()
    _create_shipments()
    _create_deals()


def downgrade() -> None:
    for table in reversed(TABLES):
        op.drop_table(table)


def _key() -> sa.Column[Any]:
    return sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False)


def _now(name: str, comment: str | None = None) -> sa.Column[Any]:
    return sa.Column(
        name,
        sa.DateTime(timezone=True),
        server_default=sa.text("now()"),
        nullable=False,
        comment=comment,
    )


def _create_places() -> None:
    op.create_table(
        "countries",
        sa.Column("code", sa.CHAR(length=2), nullable=False, comment="ISO 3166-1 alpha-2"),
        sa.Column("alpha3", sa.CHAR(length=3), nullable=False, comment="ISO 3166-1 alpha-3"),
        sa.Column("numeric_code", sa.CHAR(length=3), nullable=False, comment="ISO 3166-1 numeric"),
        sa.Column("name", sa.Text(), nullable=False, comment="Short name in English"),
        sa.CheckConstraint("alpha3 ~ '^[A-Z]{3}$'", name=op.f("ck_countries_alpha3")),
        sa.CheckConstraint("code ~ '^[A-Z]{2}$'", name=op.f("ck_countries_code")),
        sa.CheckConstraint("numeric_code ~ '^[0-9]{3}$'", name=op.f("ck_countries_numeric_code")),
        sa.PrimaryKeyConstraint("code", name=op.f("pk_countries")),
        sa.UniqueConstraint("alpha3", name=op.f("uq_countries_alpha3")),
        sa.UniqueConstraint("name", name=op.f("uq_countries_name")),
        sa.UniqueConstraint("numeric_code", name=op.f("uq_countries_numeric_code")),
        comment="Countries, territories and areas of ISO 3166-1; reference data",
    )
    op.create_table(
        "cities",
        _key(),
        sa.Column(
            "country_code", sa.CHAR(length=2), nullable=False, comment="The country it is in"
        ),
        sa.Column(
            "region",
            sa.Text(),
            server_default=sa.text("''"),
            nullable=False,
            comment="State or province where a name is not enough, else ''",
        ),
        sa.Column(
            "name",
            sa.Text(),
            nullable=False,
            comment="As English has it, with its accents",
        ),
        sa.Column(
            "latitude",
            sa.Numeric(precision=7, scale=4),
            nullable=False,
            comment="Degrees north, WGS 84",
        ),
        sa.Column(
            "longitude",
            sa.Numeric(precision=7, scale=4),
            nullable=False,
            comment="Degrees east, WGS 84",
        ),
        sa.Column("timezone", sa.Text(), nullable=False, comment="IANA time zone name"),
        sa.CheckConstraint("latitude BETWEEN -90 AND 90", name=op.f("ck_cities_latitude")),
        sa.CheckConstraint("longitude BETWEEN -180 AND 180", name=op.f("ck_cities_longitude")),
        sa.ForeignKeyConstraint(
            ["country_code"], ["countries.code"], name=op.f("fk_cities_country_code")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_cities")),
        sa.UniqueConstraint(
            "country_code", "region", "name", name=op.f("uq_cities_country_code_region_name")
        ),
        comment="Places between which things are sent; reference data",
    )


def _create_parties() -> None:
    op.create_table(
        "companies",
        _key(),
        sa.Column(
            "country_code", sa.CHAR(length=2), nullable=False, comment="Where it is registered"
        ),
        sa.Column(
            "registration_number",
            sa.Text(),
            nullable=False,
            comment="As its country's register has it",
        ),
        sa.Column("name", sa.Text(), nullable=False, comment="As its register has it"),
        _now("created_at", comment="When it was entered"),
        sa.ForeignKeyConstraint(
            ["country_code"], ["countries.code"], name=op.f("fk_companies_country_code")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_companies")),
        sa.UniqueConstraint(
            "country_code",
            "registration_number",
            name=op.f("uq_companies_country_code_registration_number"),
        ),
        comment="Companies whose people send things",
    )
    op.create_table(
        "users",
        _key(),
        sa.Column(
            "company_id",
            sa.Uuid(),
            nullable=True,
            comment="Whom the person sends for; null for a private person",
        ),
        sa.Column(
            "email",
            sa.Text(),
            nullable=False,
            comment="Where the person is written to; signs in with it",
        ),
        sa.Column("full_name", sa.Text(), nullable=False, comment="As the person writes it"),
        sa.Column("phone", sa.Text(), nullable=True, comment="E.164, with the plus sign"),
        sa.Column(
            "status",
            sa.Text(),
            server_default="invited",
            nullable=False,
            comment="invited until the first sign-in, then active; suspended by us, or closed",
        ),
        _now("created_at", comment="When the account was made"),
        _now("updated_at", comment="Set by the application with every change"),
        sa.CheckConstraint("position('@' in email) > 1", name=op.f("ck_users_email")),
        sa.CheckConstraint(
            "status IN ('invited', 'active', 'suspended', 'closed')", name=op.f("ck_users_status")
        ),
        sa.ForeignKeyConstraint(["company_id"], ["companies.id"], name=op.f("fk_users_company_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_users")),
        comment="People with an account; company_id is null for a private person",
    )
    op.create_index(op.f("ix_users_company_id"), "users", ["company_id"])
    # sign-in: WHERE lower(email) = lower($1); one account per address however it is written
    op.create_index("uq_users_lower_email", "users", [sa.text("lower(email)")], unique=True)
    op.create_table(
        "addresses",
        _key(),
        sa.Column("user_id", sa.Uuid(), nullable=False, comment="Whose door it is"),
        sa.Column("city_id", sa.Uuid(), nullable=False, comment="Where it is"),
        sa.Column(
            "label", sa.Text(), nullable=False, comment="What its owner calls it: home, warehouse 2"
        ),
        sa.Column("line1", sa.Text(), nullable=False, comment="Street and number"),
        sa.Column("line2", sa.Text(), nullable=True, comment="Floor, gate, care of"),
        sa.Column(
            "postal_code",
            sa.Text(),
            nullable=True,
            comment="As the country writes it; null where there are none",
        ),
        _now("created_at", comment="When it was entered"),
        sa.ForeignKeyConstraint(["city_id"], ["cities.id"], name=op.f("fk_addresses_city_id")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_addresses_user_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_addresses")),
        comment="Doors where things are picked up or delivered",
    )
    op.create_index(op.f("ix_addresses_city_id"), "addresses", ["city_id"])
    op.create_index(op.f("ix_addresses_user_id"), "addresses", ["user_id"])
    op.create_table(
        "carriers",
        _key(),
        sa.Column(
            "country_code", sa.CHAR(length=2), nullable=False, comment="Where it is registered"
        ),
        sa.Column("name", sa.Text(), nullable=False, comment="As people know it"),
        sa.Column("contact_email", sa.Text(), nullable=False, comment="Where we write to"),
        sa.Column(
            "status",
            sa.Text(),
            server_default="applied",
            nullable=False,
            comment="applied until we looked; then approved or suspended",
        ),
        _now("created_at", comment="When it applied"),
        _now("updated_at", comment="Set by the application with every change"),
        sa.CheckConstraint(
            "status IN ('applied', 'approved', 'suspended')", name=op.f("ck_carriers_status")
        ),
        sa.ForeignKeyConstraint(
            ["country_code"], ["countries.code"], name=op.f("fk_carriers_country_code")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_carriers")),
        sa.UniqueConstraint("name", name=op.f("uq_carriers_name")),
        comment="Companies that carry things and quote for it",
    )
    op.create_index(op.f("ix_carriers_country_code"), "carriers", ["country_code"])


def _create_shipments() -> None:
    op.create_table(
        "shipments",
        _key(),
        sa.Column("reference", sa.Text(), nullable=False, comment="What people say on the phone"),
        sa.Column("sender_id", sa.Uuid(), nullable=False, comment="Who sends it"),
        sa.Column("origin_address_id", sa.Uuid(), nullable=False, comment="Where it is picked up"),
        sa.Column(
            "destination_address_id", sa.Uuid(), nullable=False, comment="Where it is delivered"
        ),
        sa.Column(
            "status",
            sa.Text(),
            server_default="draft",
            nullable=False,
            comment="Where it stands now; how it came there is in its events",
        ),
        sa.Column(
            "pickup_after",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="Not to be picked up before this",
        ),
        sa.Column(
            "deliver_before",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="To be delivered before this",
        ),
        sa.Column(
            "declared_value",
            sa.Numeric(precision=12, scale=2),
            nullable=False,
            comment="What the goods are insured for",
        ),
        sa.Column("currency", sa.CHAR(length=3), nullable=False, comment="ISO 4217"),
        _now("created_at", comment="When it was drafted"),
        _now("updated_at", comment="Set by the application with every change"),
        sa.CheckConstraint("currency ~ '^[A-Z]{3}$'", name=op.f("ck_shipments_currency")),
        sa.CheckConstraint(
            "status IN ('draft', 'open', 'booked', 'in_transit', 'delivered', 'cancelled')",
            name=op.f("ck_shipments_status"),
        ),
        sa.CheckConstraint("declared_value >= 0", name=op.f("ck_shipments_declared_value")),
        sa.CheckConstraint("pickup_after < deliver_before", name=op.f("ck_shipments_times")),
        sa.ForeignKeyConstraint(
            ["destination_address_id"],
            ["addresses.id"],
            name=op.f("fk_shipments_destination_address_id"),
        ),
        sa.ForeignKeyConstraint(
            ["origin_address_id"], ["addresses.id"], name=op.f("fk_shipments_origin_address_id")
        ),
        sa.ForeignKeyConstraint(["sender_id"], ["users.id"], name=op.f("fk_shipments_sender_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_shipments")),
        sa.UniqueConstraint("reference", name=op.f("uq_shipments_reference")),
        comment="What someone wants carried from one door to another",
    )
    op.create_index(
        op.f("ix_shipments_destination_address_id"), "shipments", ["destination_address_id"]
    )
    # the board that carriers look at: WHERE status = 'open' ORDER BY created_at DESC LIMIT $1
    op.create_index(
        "ix_shipments_open",
        "shipments",
        [sa.text("created_at DESC")],
        postgresql_where=sa.text("status = 'open'"),
    )
    op.create_index(op.f("ix_shipments_origin_address_id"), "shipments", ["origin_address_id"])
    # a person's own list: WHERE sender_id = $1 ORDER BY created_at DESC; serves the key too
    op.create_index(
        "ix_shipments_sender_id_created_at", "shipments", ["sender_id", sa.text("created_at DESC")]
    )
    op.create_table(
        "shipment_items",
        _key(),
        sa.Column("shipment_id", sa.Uuid(), nullable=False, comment="What it is a part of"),
        sa.Column("description", sa.Text(), nullable=False, comment="As the sender calls it"),
        sa.Column("quantity", sa.Integer(), nullable=False, comment="Pieces of this kind"),
        sa.Column(
            "weight_kg", sa.Numeric(precision=10, scale=3), nullable=False, comment="Of one piece"
        ),
        sa.Column(
            "length_cm", sa.Integer(), nullable=True, comment="Of one piece; null when not measured"
        ),
        sa.Column(
            "width_cm", sa.Integer(), nullable=True, comment="Of one piece; null when not measured"
        ),
        sa.Column(
            "height_cm", sa.Integer(), nullable=True, comment="Of one piece; null when not measured"
        ),
        sa.Column(
            "is_fragile",
            sa.Boolean(),
            server_default=sa.text("false"),
            nullable=False,
            comment="Wants to be handled with care",
        ),
        sa.CheckConstraint(
            "length_cm > 0 AND width_cm > 0 AND height_cm > 0", name=op.f("ck_shipment_items_size")
        ),
        sa.CheckConstraint("quantity > 0", name=op.f("ck_shipment_items_quantity")),
        sa.CheckConstraint("weight_kg > 0", name=op.f("ck_shipment_items_weight_kg")),
        sa.ForeignKeyConstraint(
            ["shipment_id"],
            ["shipments.id"],
            name=op.f("fk_shipment_items_shipment_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_shipment_items")),
        comment="Pieces of a shipment, one row for each kind",
    )
    op.create_index(op.f("ix_shipment_items_shipment_id"), "shipment_items", ["shipment_id"])
    op.create_table(
        "shipment_events",
        _key(),
        sa.Column("shipment_id", sa.Uuid(), nullable=False, comment="What it happened to"),
        sa.Column(
            "kind",
            sa.Text(),
            nullable=False,
            comment="One for each change of the shipment's status, and stops on the way",
        ),
        sa.Column("city_id", sa.Uuid(), nullable=True, comment="Where; null when nobody said"),
        sa.Column("note", sa.Text(), nullable=True, comment="What the carrier adds"),
        sa.Column(
            "happened_at",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="In the world, as the carrier says",
        ),
        _now("recorded_at", comment="When we heard of it"),
        sa.CheckConstraint(
            "kind IN ('created', 'opened', 'booked', 'picked_up', 'arrived', 'departed',"
            " 'delivered', 'cancelled')",
            name=op.f("ck_shipment_events_kind"),
        ),
        sa.ForeignKeyConstraint(
            ["city_id"], ["cities.id"], name=op.f("fk_shipment_events_city_id")
        ),
        sa.ForeignKeyConstraint(
            ["shipment_id"],
            ["shipments.id"],
            name=op.f("fk_shipment_events_shipment_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_shipment_events")),
        comment="What happened to a shipment; rows are added, never changed",
    )
    op.create_index(op.f("ix_shipment_events_city_id"), "shipment_events", ["city_id"])
    # tracking page: WHERE shipment_id = $1 ORDER BY happened_at; serves the key too
    op.create_index(
        "ix_shipment_events_shipment_id_happened_at",
        "shipment_events",
        ["shipment_id", "happened_at"],
    )


def _create_deals() -> None:
    op.create_table(
        "quotes",
        _key(),
        sa.Column("shipment_id", sa.Uuid(), nullable=False, comment="What would be carried"),
        sa.Column("carrier_id", sa.Uuid(), nullable=False, comment="Who would carry it"),
        sa.Column(
            "amount",
            sa.Numeric(precision=12, scale=2),
            nullable=False,
            comment="For all of it, in the currency beside it",
        ),
        sa.Column("currency", sa.CHAR(length=3), nullable=False, comment="ISO 4217"),
        sa.Column(
            "status",
            sa.Text(),
            server_default="offered",
            nullable=False,
            comment="offered, then accepted, declined, withdrawn or expired",
        ),
        sa.Column(
            "valid_until",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="Not to be accepted after this",
        ),
        _now("created_at", comment="When it was offered"),
        sa.CheckConstraint("currency ~ '^[A-Z]{3}$'", name=op.f("ck_quotes_currency")),
        sa.CheckConstraint(
            "status IN ('offered', 'accepted', 'declined', 'withdrawn', 'expired')",
            name=op.f("ck_quotes_status"),
        ),
        sa.CheckConstraint("amount > 0", name=op.f("ck_quotes_amount")),
        sa.ForeignKeyConstraint(["carrier_id"], ["carriers.id"], name=op.f("fk_quotes_carrier_id")),
        sa.ForeignKeyConstraint(
            ["shipment_id"], ["shipments.id"], name=op.f("fk_quotes_shipment_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_quotes")),
        sa.UniqueConstraint("id", "shipment_id", name=op.f("uq_quotes_id_shipment_id")),
        comment="What carriers ask for carrying a shipment",
    )
    op.create_index(op.f("ix_quotes_carrier_id"), "quotes", ["carrier_id"])
    # a shipment's quotes, cheapest first: WHERE shipment_id = $1 ORDER BY amount; read from the
    # index alone
    op.create_index(
        "ix_quotes_shipment_id_amount",
        "quotes",
        ["shipment_id", "amount"],
        postgresql_include=["currency", "carrier_id", "status"],
    )
    # a carrier has one standing offer per shipment
    op.create_index(
        "uq_quotes_standing",
        "quotes",
        ["shipment_id", "carrier_id"],
        unique=True,
        postgresql_where=sa.text("status = 'offered'"),
    )
    op.create_table(
        "bookings",
        _key(),
        sa.Column("quote_id", sa.Uuid(), nullable=False, comment="What was accepted"),
        sa.Column(
            "shipment_id",
            sa.Uuid(),
            nullable=False,
            comment="The quote's; here for uq_bookings_live",
        ),
        sa.Column(
            "status",
            sa.Text(),
            server_default="confirmed",
            nullable=False,
            comment="confirmed, then completed or cancelled",
        ),
        _now("booked_at", comment="When the quote was accepted"),
        sa.CheckConstraint(
            "status IN ('confirmed', 'completed', 'cancelled')", name=op.f("ck_bookings_status")
        ),
        sa.ForeignKeyConstraint(
            ["quote_id", "shipment_id"],
            ["quotes.id", "quotes.shipment_id"],
            name=op.f("fk_bookings_quote_id_shipment_id"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_bookings")),
        sa.UniqueConstraint(
            "quote_id", "shipment_id", name=op.f("uq_bookings_quote_id_shipment_id")
        ),
        comment="Quotes that were accepted",
    )
    # a shipment is booked once at a time; a cancelled booking makes room for another
    op.create_index(
        "uq_bookings_live",
        "bookings",
        ["shipment_id"],
        unique=True,
        postgresql_where=sa.text("status <> 'cancelled'"),
    )
    op.create_table(
        "payments",
        _key(),
        sa.Column("booking_id", sa.Uuid(), nullable=False, comment="What is paid for"),
        sa.Column(
            "amount",
            sa.Numeric(precision=12, scale=2),
            nullable=False,
            comment="In the currency beside it",
        ),
        sa.Column("currency", sa.CHAR(length=3), nullable=False, comment="ISO 4217"),
        sa.Column("method", sa.Text(), nullable=False, comment="card, transfer or invoice"),
        sa.Column(
            "status",
            sa.Text(),
            server_default="pending",
            nullable=False,
            comment="pending until the provider says captured or failed; refunded after that",
        ),
        sa.Column(
            "provider_reference",
            sa.Text(),
            nullable=False,
            comment="The payment provider's own id; makes a repeated notice harmless",
        ),
        _now("created_at", comment="When we asked for it"),
        sa.Column(
            "captured_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="When the provider had it; null before",
        ),
        sa.CheckConstraint("currency ~ '^[A-Z]{3}$'", name=op.f("ck_payments_currency")),
        sa.CheckConstraint(
            "method IN ('card', 'transfer', 'invoice')", name=op.f("ck_payments_method")
        ),
        sa.CheckConstraint(
            "status <> 'captured' OR captured_at IS NOT NULL", name=op.f("ck_payments_captured_at")
        ),
        sa.CheckConstraint(
            "status IN ('pending', 'captured', 'failed', 'refunded')",
            name=op.f("ck_payments_status"),
        ),
        sa.CheckConstraint("amount > 0", name=op.f("ck_payments_amount")),
        sa.ForeignKeyConstraint(
            ["booking_id"], ["bookings.id"], name=op.f("fk_payments_booking_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_payments")),
        sa.UniqueConstraint("provider_reference", name=op.f("uq_payments_provider_reference")),
        comment="Money that moved, or should have, for a booking",
    )
    op.create_index(op.f("ix_payments_booking_id"), "payments", ["booking_id"])
    # what is asked of the provider again: WHERE status = 'pending' ORDER BY created_at
    op.create_index(
        "ix_payments_pending",
        "payments",
        ["created_at"],
        postgresql_where=sa.text("status = 'pending'"),
    )
    op.create_table(
        "reviews",
        _key(),
        sa.Column("booking_id", sa.Uuid(), nullable=False, comment="What is reviewed"),
        sa.Column("author_id", sa.Uuid(), nullable=False, comment="Who wrote it"),
        sa.Column("rating", sa.SmallInteger(), nullable=False, comment="1 to 5, 5 is best"),
        sa.Column(
            "comment",
            sa.Text(),
            nullable=True,
            comment="In the author's words; null for stars alone",
        ),
        _now("created_at", comment="When it was written"),
        sa.CheckConstraint("rating BETWEEN 1 AND 5", name=op.f("ck_reviews_rating")),
        sa.ForeignKeyConstraint(["author_id"], ["users.id"], name=op.f("fk_reviews_author_id")),
        sa.ForeignKeyConstraint(
            ["booking_id"], ["bookings.id"], name=op.f("fk_reviews_booking_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_reviews")),
        sa.UniqueConstraint("booking_id", name=op.f("uq_reviews_booking_id")),
        comment="What a sender says of a carrier, once for each booking",
    )
    op.create_index(op.f("ix_reviews_author_id"), "reviews", ["author_id"])
