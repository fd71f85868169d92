"""Notes are kept by name until they are replaced or removed."""

from datetime import UTC, datetime

from shippyard.state.database import State
from shippyard.state.notes import Notes

AT = datetime(2026, 3, 4, tzinfo=UTC)


def test_a_note_is_what_was_written_last(state: State) -> None:
    notes = Notes(state)
    assert notes.read("clock") is None
    notes.write("clock", {"at": "x"}, AT)
    notes.write("clock", {"at": "y", "n": [1, None]}, AT)
    notes.write("other", "z", AT)
    assert Notes(state).read("clock") == {"at": "y", "n": [1, None]}


def test_a_note_can_be_removed_once(state: State) -> None:
    notes = Notes(state)
    notes.write("frozen", "why", AT)
    assert notes.remove("frozen")
    assert not notes.remove("frozen")
    assert notes.read("frozen") is None
