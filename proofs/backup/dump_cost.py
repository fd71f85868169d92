"""Owns the row that says what a dump costs beside the command of the strategy's script."""

from bench.dump import compare
from proofs.table import Context, Outcome, Row

# Of `pg_dump -Fc -Z9`, in the same minutes on the same server.
WALL, CPU, SIZE = 0.35, 0.30, 0.95
MAJOR = 15
FULL_SCALE, QUICK_SCALE = 80, 4


def dump_cost(context: Context) -> Outcome:
    """One run of each; the goals are for the dump itself, which is what the other one makes."""
    scale = context.count(full=FULL_SCALE, quick=QUICK_SCALE)
    context.say(f"building a database of about {scale * 29} MB")
    found = compare(context.folder / "bench", MAJOR, scale)
    wall, cpu, size = found.alone.ratios(found.theirs)
    whole_wall, whole_cpu, _ = found.whole.ratios(found.theirs)
    measured = (
        f"dump alone: {wall:.2f} of the wall time, {cpu:.2f} of the CPU, {size:.2f} of the size; "
        "until published, with a digest of every row, hashes and a full decode: "
        f"{whole_wall:.2f} of the wall time, {whole_cpu:.2f} of the CPU"
    )
    random = compare(context.folder / "random", MAJOR, max(1, scale // 4), "random").alone_beside()
    # What programs take to start is a fifth of the CPU of so small a dump.
    within = wall <= WALL and size <= SIZE and (context.quick or cpu <= CPU)
    return Outcome(
        measured,
        ok=within,
        note="; ".join(
            [*found.lines(), f"with notes of random digits, a quarter as large: {random}"]
        ),
    )


ROWS = (
    Row(
        "dump-cost",
        "A full dump costs a fraction of `pg_dump -Fc -Z9`",
        "≤ 0.35 of its wall time, 0.30 of its CPU (not judged when quick), 0.95 of its size",
        dump_cost,
        alone=True,
    ),
)
