"""What is left of a dump's text."""

from shippyard.setup.schema import normalised

FIFTEEN = r"""--
-- PostgreSQL database dump
--

\restrict abc

-- Dumped from database version 15.18
-- Dumped by pg_dump version 15.18

SET statement_timeout = 0;
SELECT pg_catalog.set_config('search_path', '', false);

--
-- Name: t; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.t (
    id uuid
);


--
-- PostgreSQL database dump complete
--

\unrestrict abc
"""


def test_versions_keys_and_settings_leave_no_trace() -> None:
    seventeen = (
        FIFTEEN.replace("abc", "xyz")
        .replace("15.18", "17.10")
        .replace(
            "SET statement_timeout = 0;", "SET statement_timeout = 0;\nSET transaction_timeout = 0;"
        )
    )
    assert normalised(seventeen) == normalised(FIFTEEN)
    assert normalised(FIFTEEN) == "CREATE TABLE public.t (\n    id uuid\n);\n"


def test_what_is_schema_stays() -> None:
    text = "ALTER TABLE t\n    SET STATISTICS 5;\nCREATE FUNCTION f() AS $$\n  -- Name: f\n$$;\n"
    assert normalised(text) == text
