"""Secrets come from credentials only, and a missing one says what to do."""

from pathlib import Path

import pytest

from shippyard.host.secrets import MASK, SecretMissing, mask, read_secret, remember


def test_a_credential_is_read_without_its_newline_and_masked_from_then_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "monitor").write_text("correct horse\n")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert read_secret("monitor") == "correct horse"
    assert mask("login with correct horse failed") == f"login with {MASK} failed"


def test_without_a_folder_the_error_says_how_to_give_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    monkeypatch.delenv("SHIPPYARD_CREDENTIALS", raising=False)
    with pytest.raises(SecretMissing, match="LoadCredential="):
        read_secret("monitor")


def test_a_longer_secret_is_masked_before_one_it_contains() -> None:
    remember("abcd1")
    remember("abcd1efgh2")
    assert mask("x abcd1efgh2 y") == f"x {MASK} y"
