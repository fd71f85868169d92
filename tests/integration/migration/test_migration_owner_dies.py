"""A daemon that is killed takes its runner along, and nothing applies after its death."""

import os
import signal
import sys
import textwrap
from typing import Any

from shippyard.host.process import PIPE, Processes

DAEMON = """
import sys
from pathlib import Path
from shippyard.host.process import Processes
from shippyard.migration.spec import RunSpec
from shippyard.migration.supervise import Supervisor

spec = RunSpec.from_json(Path(sys.argv[1]).read_bytes())
Supervisor(Processes()).run(spec, 60.0, lambda event: print(event["event"], flush=True))
"""


def test_kill_9_of_the_owner_leaves_nothing_behind(
    bench: Any, eventually: Any, tmp_path: Any, processes: Processes
) -> None:
    bench.begin_with_parcels()
    bench.tree.add("op.execute('ALTER TABLE parcels ADD COLUMN color text')")
    patient = bench.migrations._config.model_copy(update={"lock_timeout_ms": 60_000})
    prepared = bench.build(config=patient)._prepare("shippyar", "head")
    spec_file = tmp_path / "spec.json"
    spec_file.write_bytes(prepared.run_spec("test-run").to_json())
    ours = (
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
        " AND application_name LIKE 'shippyard:migrate%'"
    )
    queued = f"{ours} AND query LIKE 'ALTER%' AND wait_event_type = 'Lock'"
    with bench.connect() as holder, holder.transaction():
        holder.execute("SELECT * FROM parcels")
        argv = [sys.executable, "-c", textwrap.dedent(DAEMON), str(spec_file)]
        with processes.start(argv, stdout=PIPE) as owner:
            eventually(lambda: bench.scalar(queued) == 1)
            os.kill(owner.pid, signal.SIGKILL)
        # The holder still holds: a queued ALTER would wait on, to be applied by nobody's order.
        eventually(lambda: bench.scalar(ours) == 0, timeout_s=3.0)
    columns = (
        "SELECT count(*) FROM pg_attribute WHERE attrelid = 'parcels'::regclass AND attnum > 0"
    )
    assert bench.scalar(columns) == 2
    assert bench.version() == "001"
