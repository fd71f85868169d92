"""Owns what is asked as `migrate.attest.…`: give, take, and name the key. Decides nothing."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from shippyard.control.method import Call, Document, Method, MethodError
from shippyard.migration.attest import Word, WordRefused
from shippyard.migration.attestations import Attestations
from shippyard.migration.words import needed, text_of


def build(attestations: Attestations) -> list[Method]:
    """`migrate.attest.export`, `.import` and `.key`."""

    def answering(answer: Callable[[Attestations, Call], Document]) -> Callable[[Call], Document]:
        def run(call: Call) -> Document:
            with _said_in_codes():
                return answer(attestations, call)

        return run

    return [
        Method("migrate.attest.export", "viewer", answering(_export)),
        Method("migrate.attest.import", "operator", answering(_import)),
        Method("migrate.attest.key", "viewer", answering(_key)),
    ]


@contextmanager
def _said_in_codes() -> Iterator[None]:
    try:
        yield
    except WordRefused as error:
        raise MethodError("blocked", str(error)) from None


def _export(attestations: Attestations, call: Call) -> Document:
    word = attestations.export(text_of(call, "run"))
    return {**_document(word), "envelope": word.to_bytes().decode()}


def _import(attestations: Attestations, call: Call) -> Document:
    data = needed(call, "envelope").encode(errors="replace")
    return _document(attestations.import_(data, call.peer.user))


def _key(attestations: Attestations, _: Call) -> Document:
    signer = attestations.signer
    return {"public_key": signer.public_key, "key_id": signer.key_id}


def _document(word: Word) -> Document:
    return {**word.record.document(), "key_id": word.attested.key_id}
