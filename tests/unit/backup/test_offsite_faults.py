"""What a store's refusal means: every kind of answer, in the library's own words."""

from datetime import UTC, datetime

import obstore
import pytest

from shippyard.backup.offsite.faults import Verb, Where, explain, is_retained, when
from shippyard.backup.offsite.objects import ObjectAbsent, ObjectExists, OffsiteFailed

WHERE = Where("s3://vault/shop", "vault", "https://s3.example.org")
TAIL = "\n\nDebug source:\nGeneric {\n    secret-looking noise\n}"


def answer(status: str, code: str) -> str:
    return (
        "Generic S3 error: Error performing PUT https://s3.example.org/vault/a in 2ms - "
        f"Server returned non-2xx status code: {status}: <Error><Code>{code}</Code></Error>{TAIL}"
    )


@pytest.mark.parametrize(
    ("code", "status", "said"),
    [
        ("SignatureDoesNotMatch", "403 Forbidden", "secret_key_credential"),
        ("InvalidAccessKeyId", "403 Forbidden", "refused the access key or its secret"),
        ("NoSuchBucket", "404 Not Found", "there is no bucket vault at https://s3.example.org"),
        ("AccessDenied", "403 Forbidden", "doesn't let our key write objects"),
        ("RequestTimeTooSkewed", "403 Forbidden", "our clock is wrong"),
        ("QuotaExceeded", "403 Forbidden", "is full"),
    ],
)
def test_what_a_person_must_mend_is_said_so(code: str, status: str, said: str) -> None:
    error = explain(obstore.exceptions.GenericError(answer(status, code)), "write", WHERE)
    assert said in str(error)
    assert error.lasting
    assert "\n" not in str(error)
    assert "noise" not in str(error)


def test_a_refusal_without_a_code_is_one_of_rights() -> None:
    said = "Server returned non-2xx status code: 403 Forbidden: "
    error = explain(obstore.exceptions.GenericError(said), "read", WHERE)
    assert "doesn't let our key read" in str(error)


def test_what_does_not_answer_is_tried_again() -> None:
    said = "Generic S3 error: Error performing PUT in 9s, after 3 retries - HTTP error: timed out"
    error = explain(obstore.exceptions.GenericError(said + TAIL), "write", WHERE)
    assert "can't be reached at https://s3.example.org (timed out)" in str(error)
    assert not error.lasting


@pytest.mark.parametrize(
    ("verb", "kind"), [("read", ObjectAbsent), ("delete", ObjectAbsent), ("write", OffsiteFailed)]
)
def test_what_is_not_there(verb: Verb, kind: type[OffsiteFailed]) -> None:
    error = explain(FileNotFoundError("Object at location a not found"), verb, WHERE)
    assert type(error) is kind
    assert ("no bucket" in str(error)) == (verb == "write")


def test_what_is_there_already() -> None:
    error = explain(obstore.exceptions.AlreadyExistsError("already"), "write", WHERE)
    assert isinstance(error, ObjectExists)


def test_anything_else_is_one_short_line() -> None:
    error = explain(obstore.exceptions.GenericError("odd " * 500 + TAIL), "list", WHERE)
    assert str(error).startswith("s3://vault/shop can't list: odd odd")
    assert len(str(error)) < 400
    assert not error.lasting


@pytest.mark.parametrize(
    "said",
    [
        "<Code>AccessDenied</Code><Message>forbidden by object lock</Message>",
        '{"error": {"errors": [{"reason": "retentionPolicyNotMet"}]}}',
        "<Code>BlobImmutableDueToPolicy</Code>",
    ],
)
def test_a_lock_is_told_from_a_missing_right(said: str) -> None:
    assert is_retained(Exception(said))
    assert not is_retained(Exception("<Code>AccessDenied</Code>"))


def test_times_as_stores_write_them() -> None:
    assert when("2026-11-23T20:01:15.936311608Z") == datetime(
        2026, 11, 23, 20, 1, 15, 936311, tzinfo=UTC
    )
    assert when("2026-11-23T20:01:15Z") == datetime(2026, 11, 23, 20, 1, 15, tzinfo=UTC)
    assert when("tomorrow") is when(None) is None
