"""How files are cut, and what a listing says was sent; sealed objects; where a place may be."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pyrage
import pytest

from shippyard.backup.manifest import FileEntry
from shippyard.backup.offsite.age import BadKey, Identities, Recipients, keyring_of, recipients_of
from shippyard.backup.offsite.folder import FolderStore
from shippyard.backup.offsite.objects import Found, OffsiteFailed
from shippyard.backup.offsite.parts import Piece, by_number, cut, part_of, sent_before
from shippyard.backup.offsite.signed import Disbelieved, header_of, seal, unseal
from shippyard.backup.offsite.store import BadPlace, open_store
from shippyard.backup.offsite.working import AT_ONCE, each
from shippyard.config.models import Offsite
from shippyard.host.signing import Signer, signer_in
from tests.conftest import FakeClock

PIECE = Piece(7, "shop.dump", 0, 5)
DATA = b"five!"
SHA = hashlib.sha256(DATA).hexdigest()


@pytest.fixture
def signer(tmp_path: Path) -> Signer:
    return signer_in(tmp_path / "keys")


@pytest.fixture(scope="module")
def recipients() -> Recipients:
    return recipients_of([str(pyrage.x25519.Identity.generate().to_public()) for _ in range(2)])


def entry(name: str, size_bytes: int) -> FileEntry:
    return FileEntry(name, size_bytes, "0" * 64)


def test_pieces_cover_every_byte_once() -> None:
    files = [entry("a", 25), entry("empty", 0), entry("b", 10), entry("c", 1)]
    pieces = list(cut(files, 10))
    assert [piece.number for piece in pieces] == list(range(5))
    for file in files:
        offset = 0
        for piece in (piece for piece in pieces if piece.file == file.name):
            assert piece.offset_bytes == offset
            assert 0 < piece.size_bytes <= 10
            offset += piece.size_bytes
        assert offset == file.size_bytes


class TestSentBefore:
    def test_a_plain_part_is_known_by_hash_and_size(self) -> None:
        part = part_of(PIECE, SHA, DATA, Recipients())
        assert sent_before(PIECE, SHA, [Found(part.stored.name, 5)], Recipients()) == part
        assert sent_before(PIECE, SHA, [Found(part.stored.name, 4)], Recipients()) is None
        assert sent_before(PIECE, "f" * 64, [Found(part.stored.name, 5)], Recipients()) is None

    def test_an_encrypted_part_is_known_by_both_hashes_and_its_keys(
        self, recipients: Recipients
    ) -> None:
        stored = recipients.encrypt(DATA)
        part = part_of(PIECE, SHA, stored, recipients)
        found = [Found(part.stored.name, len(stored))]
        assert sent_before(PIECE, SHA, found, recipients) == part
        others = recipients_of([str(pyrage.x25519.Identity.generate().to_public())])
        assert sent_before(PIECE, SHA, found, others) is None
        assert sent_before(PIECE, SHA, found, Recipients()) is None

    def test_what_is_no_part_has_no_number(self) -> None:
        names = ["index.json", "parts/000007.aa", "parts/note", "manifest.json"]
        numbered = by_number([Found(f"shop/x/{name}", 1) for name in names], "shop/x/")
        assert numbered == {7: [Found("parts/000007.aa", 1)]}


class TestSealed:
    def test_it_opens_to_what_it_was(self, signer: Signer) -> None:
        for content in (b"", b"x", b"wal" * 9999):
            data = seal("a/b", content, signer, Recipients())
            assert unseal(data, "a/b", {signer.public_key}, Identities()) == content

    def test_every_changed_byte_is_seen(self, signer: Signer) -> None:
        data = seal("a/b", b"content", signer, Recipients())
        for at in range(len(data)):
            changed = bytearray(data)
            changed[at] ^= 1
            with pytest.raises(OffsiteFailed):
                unseal(bytes(changed), "a/b", {signer.public_key}, Identities())
            with pytest.raises(OffsiteFailed):
                unseal(data[:at], "a/b", {signer.public_key}, Identities())

    def test_its_first_bytes_say_what_it_is(self, signer: Signer, recipients: Recipients) -> None:
        data = seal("a/b", b"x" * 99_999, signer, recipients)
        header = header_of(data[:8192], "a/b", {signer.public_key})
        assert (header.size_bytes, header.key_ids) == (99_999, recipients.key_ids)
        with pytest.raises(Disbelieved, match="holds what belongs to a/b"):
            header_of(data, "a/c", {signer.public_key})
        with pytest.raises(Disbelieved, match="not trusted"):
            header_of(data, "a/b", set())


class TestKeys:
    def test_what_is_no_key_is_said_without_showing_it(self) -> None:
        with pytest.raises(BadKey) as refused:
            recipients_of(["age1secretlooking"])
        assert "secretlooking" not in str(refused.value)
        with pytest.raises(BadKey, match="credential 'vault' holds"):
            keyring_of("AGE-SECRET-KEY-1BROKEN", "vault")

    def test_one_key_given_twice_is_one(self) -> None:
        key = str(pyrage.x25519.Identity.generate().to_public())
        assert len(recipients_of([key, key]).key_ids) == 1


class TestPlaces:
    def test_a_path_is_a_folder(self, tmp_path: Path, clock: FakeClock) -> None:
        assert isinstance(open_store(Offsite(url=str(tmp_path)), clock), FolderStore)
        assert open_store(Offsite(url=f"file://{tmp_path}"), clock).place == str(tmp_path)

    @pytest.mark.parametrize("url", ["vault", "ftp://vault/x", "s3:///x", "file://host/x"])
    def test_what_is_no_place_is_refused(self, url: str, clock: FakeClock) -> None:
        with pytest.raises(BadPlace, match=r"backup\.offsite\.url"):
            open_store(Offsite(url=url), clock)


def test_work_is_taken_only_when_there_is_room() -> None:
    taken = 0

    def jobs() -> Iterator[int]:
        nonlocal taken
        for job in range(50):
            taken += 1
            yield job

    results = each(lambda job: job, jobs())
    next(results)
    assert taken <= AT_ONCE + 2
    assert list(results) == list(range(1, 50))


def test_the_first_failure_ends_the_work() -> None:
    begun = []

    def work(job: int) -> int:
        begun.append(job)
        if job == 3:
            raise OffsiteFailed("three")
        return job

    with pytest.raises(OffsiteFailed, match="three"):
        list(each(work, range(100)))
    assert len(begun) < 20
