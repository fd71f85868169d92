"""Proves the two commands on a fresh Debian 12 machine without PostgreSQL.

The machine is made by `fresh_machine.sh`; what is cloned into it is the committed HEAD.
"""

import contextlib
import os
import shlex
import signal
import subprocess
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from proofs.evidence import commit_of
from proofs.program import last_line, own_environment, why_failed
from proofs.table import Context, CouldNotRun, Outcome

SCRIPT = Path(__file__).with_name("fresh_machine.sh")
CACHE = Path(".work") / "fresh"

REFUSED = 69
WARM_DEMO_GOAL_S = 60.0
WARM_TEST_GOAL_S = 300.0
DEMO = "make demo ARGS=--once"

_lock = threading.Lock()
_quick: list["Done"] = []


@dataclass(frozen=True)
class Step:
    """One command on the machine, as `root` or `person`; `told` is what the table calls it."""

    user: str
    name: str
    command: str
    told: str
    limit_s: float | None = None


@dataclass(frozen=True)
class Done:
    """How a step ended."""

    step: Step
    status: int
    elapsed_s: float

    @property
    def held(self) -> bool:
        """It ended well, and in time."""
        return self.status == 0 and self.elapsed_s <= (self.step.limit_s or self.elapsed_s)


BARE = Step("root", "bare", "! ls -d /usr/lib/postgresql && ! id postgres && ! command -v psql", "")

DEMO_STEPS = (
    BARE,
    Step("root", "demo-cold", DEMO, "cold"),
    Step("root", "demo-warm", DEMO, "warm", WARM_DEMO_GOAL_S),
    Step("person", "demo-person", DEMO, "as a user, cold"),
)
TEST_STEPS = (
    BARE,
    Step("root", "test-cold", "make test", "cold"),
    Step("root", "test-warm", "make test", "warm", WARM_TEST_GOAL_S),
    Step("person", "test-person", "make test", "as a user, cold"),
)
UNIT = Step("person", "unit", "make unit", "make unit only, as a user")
QUICK_STEPS = (BARE, Step("person", "demo-person", DEMO, "as a user, cold"), UNIT)


def demo(context: Context) -> Outcome:
    """`git clone`, then `make demo ARGS=--once`: as root cold and warm, as a user cold."""
    return _judged(context, QUICK_STEPS[:2] if context.quick else DEMO_STEPS)


def test(context: Context) -> Outcome:
    """`git clone`, then `make test`: as root cold and warm, as a user cold."""
    return _judged(context, (BARE, UNIT) if context.quick else TEST_STEPS)


def _judged(context: Context, steps: Sequence[Step]) -> Outcome:
    if os.geteuid() != 0:
        raise CouldNotRun("needs root, to make a root filesystem and change into it")
    done = [each for each in _done(context, steps) if each.step in steps]
    missing = [step.name for step in steps if step not in [each.step for each in done]]
    wrong = [_why(context, each) for each in done if not each.held]
    wrong += [f"{name} was never run" for name in missing]
    note = "; ".join(wrong) or _what(context)
    return Outcome(_measured(done), ok=not wrong, note=note)


def _done(context: Context, steps: Sequence[Step]) -> Sequence[Done]:
    if not context.quick:
        return _run(context, steps)
    with _lock:
        # Both rows look at one machine: making and filling it is most of the time.
        if not _quick:
            _quick.extend(_run(context, QUICK_STEPS))
        return _quick


def _run(context: Context, steps: Sequence[Step]) -> list[Done]:
    done = []
    for each in _on_a_fresh_machine(context, steps):
        context.say(f"{each.step.name}: exit {each.status} in {each.elapsed_s / 60:.1f} min")
        done.append(each)
    return done


def _measured(done: Sequence[Done]) -> str:
    told = [each for each in done if each.step.told]
    return ", ".join(
        f"{each.step.told}: {each.elapsed_s / 60:.1f} min"
        + (f" (exit {each.status})" if each.status else "")
        for each in told
    )


def _why(context: Context, done: Done) -> str:
    log = CACHE / "logs" / f"{done.step.name}.log"
    if done.status == 0:
        return f"{done.step.name} took longer than {done.step.limit_s:g} s"
    said = why_failed((context.root / log).read_text(errors="replace"))
    return f"{done.step.name} ended with {done.status}: {said} (all of it: {log})"


def _what(context: Context) -> str:
    commit = commit_of(context.root)
    beside = "; changes that are not committed were not tried" if commit.endswith("+") else ""
    return f"commit {commit.rstrip('+')} was cloned{beside}"


def _on_a_fresh_machine(context: Context, steps: Sequence[Step]) -> Iterator[Done]:
    """Each step as it ends; the machine is gone when the iteration is."""
    cache, bundle = context.root / CACHE, context.folder / "shippyard.bundle"
    logs = cache / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    _bundle(context.root, bundle)
    argv = [str(SCRIPT), str(cache), str(bundle), str(logs)]
    argv += [f"{step.user}:{step.name}:{step.command}" for step in steps]
    by_name = {step.name: step for step in steps}
    with _running(argv, context.folder / "machine.err") as lines:
        for line in lines:
            _, name, status, elapsed_s = shlex.split(line)
            yield Done(by_name[name], int(status), float(elapsed_s))


@contextlib.contextmanager
def _running(argv: Sequence[str], errors: Path) -> Iterator[Iterator[str]]:
    """Lines that the machine writes; its process group is ended whatever happens."""
    with (
        errors.open("w") as stderr,
        subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            env=own_environment(),
            start_new_session=True,
        ) as machine,
    ):
        assert machine.stdout is not None
        try:
            yield iter(machine.stdout)
            status = machine.wait()
        finally:
            if machine.poll() is None:
                os.killpg(machine.pid, signal.SIGTERM)
    if status == REFUSED:
        raise CouldNotRun(last_line(errors.read_text()))
    if status:
        raise AssertionError(f"the machine ended with {status}: {last_line(errors.read_text())}")


def _bundle(root: Path, file: Path) -> None:
    """What is committed, in one file that any user can clone."""
    branch = subprocess.run(
        ["git", "symbolic-ref", "-q", "HEAD"], cwd=root, capture_output=True, text=True, check=False
    ).stdout.split()
    subprocess.run(
        ["git", "bundle", "create", "-q", str(file), "HEAD", *branch], cwd=root, check=True
    )
