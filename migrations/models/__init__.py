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
- Every table and every column but `id` says in a comment what it is.

Policies and functions are in the revisions and in `schema.sql` only: SQLAlchemy has no words for
them.
"""

from . import deals, parties, places, shipments
from .base import Base

__all__ = ["Base", "deals", "parties", "places", "shipments"]
