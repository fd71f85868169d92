"""Owns which functions give a value of their own for each row."""

from collections.abc import Iterable
from dataclasses import dataclass

from shippyard.migration.hazards.reading.nodes import items
from shippyard.migration.hazards.schema import Schema

VOLATILE = frozenset(
    {
        "clock_timestamp", "currval", "gen_random_bytes", "gen_random_uuid", "gen_salt", "lastval",
        "nanoid", "nextval", "pg_sleep", "random", "random_normal", "setval", "timeofday",
        "ulid_generate", "uuid_generate_v1", "uuid_generate_v1mc", "uuid_generate_v4",
        "uuid_generate_v7", "uuidv4", "uuidv7", "pg_advisory_lock", "pg_advisory_xact_lock",
    }
)  # fmt: skip

# Of the functions that come with PostgreSQL, those that one meets in a default or a statement.
STEADY = frozenset(
    {
        "abs", "age", "array_append", "array_cat", "array_fill", "array_length", "array_position",
        "array_remove", "array_to_string", "ascii", "btrim", "ceil", "ceiling", "char_length",
        "chr", "coalesce", "concat", "concat_ws", "convert_from", "convert_to", "current_database",
        "current_schema", "current_schemas", "current_setting", "current_user", "date", "date_part",
        "date_trunc", "decode", "digest", "encode", "extract", "factorial", "floor", "format",
        "greatest", "has_table_privilege", "inet_client_addr", "initcap", "int4range", "int8range",
        "json_build_array", "json_build_object", "json_object", "jsonb_build_array",
        "jsonb_build_object", "jsonb_object", "jsonb_set", "justify_days", "least", "left",
        "length", "localtimestamp", "lower", "lpad", "ltrim", "make_date", "make_interval",
        "make_time", "make_timestamp", "make_timestamptz", "md5", "mod", "now", "nullif",
        "numrange", "octet_length", "overlay", "position", "power", "quote_ident",
        "quote_literal", "regexp_replace", "repeat", "replace", "reverse", "right", "round",
        "row_to_json", "rpad", "rtrim", "session_user", "sha224", "sha256", "sha384", "sha512",
        "sign", "split_part", "sqrt", "statement_timestamp", "string_to_array", "substr",
        "substring", "timezone", "to_char", "to_date", "to_hex", "to_json", "to_jsonb",
        "to_number", "to_regclass", "to_regtype", "to_timestamp", "to_tsquery", "to_tsvector",
        "transaction_timestamp", "translate", "trim", "trunc", "tsrange", "tstzrange",
        "daterange", "unaccent", "upper", "uuid_nil", "version", "count", "max", "min", "sum",
        "avg", "bool_and", "bool_or", "array_agg", "string_agg", "jsonb_agg", "json_agg", "exists",
        "generate_series", "unnest", "row_number", "lag", "lead", "rank", "obj_description",
        "col_description", "set_config", "isfinite", "num_nulls", "num_nonnulls", "jsonb_typeof",
    }
)  # fmt: skip


@dataclass(frozen=True)
class Volatile:
    """Functions that are known to be volatile, and those of which nothing is known."""

    sure: frozenset[str]
    unsure: frozenset[str]


def volatile_in(names: Iterable[str], schema: Schema) -> Volatile:
    """Which of these functions give a value for each row. One's own does, unless it says else."""
    sure, unsure = set(), set()
    for name in names:
        short = name.rpartition(".")[2]
        if short in VOLATILE or _declared(name, schema) == "volatile":
            sure.add(name)
        elif not is_built_in(name) and _declared(name, schema) is None:
            unsure.add(name)
    return Volatile(frozenset(sure), frozenset(unsure))


def is_built_in(name: str) -> bool:
    """True for a function that comes with PostgreSQL and changes nothing."""
    return name in STEADY or name in VOLATILE or name.startswith("pg_")


def _declared(name: str, schema: Schema) -> str | None:
    """How a function of this schema was declared; None when it is not known."""
    made = schema.functions.get(name)
    if made is None:
        return None
    for option in items(made.node, "options", "def_elem"):
        if option.get("defname") == "volatility":
            return str(option.get("arg", {}).get("string", {}).get("sval", "volatile"))
    return "volatile"
