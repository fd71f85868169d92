"""Owns a real S3 for proofs: Ceph's gateway over one in-memory store, on loopback, in a folder.

Started as whoever runs the proof, ended by process id. Buckets are made here, because nothing in
Shippyard makes one. What is true of it is for the proofs to say.
"""

import base64
import contextlib
import hashlib
import http.client
import shutil
import subprocess
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from proofs.program import Program
from proofs.rig import free_port
from proofs.table import CouldNotRun
from proofs.waiting import until
from shippyard.backup.offsite.versions import Keys, Request, signed_headers

PROGRAMS = ("ceph-mon", "ceph-osd", "ceph", "monmaptool", "radosgw", "radosgw-admin")
PACKAGES = "ceph-mon ceph-osd radosgw ceph-common"
KEYS = Keys("AKIAPROOF", "a-secret-of-the-proof")
REGION = "us-east-1"
READY_S = 60.0
STEP_S = 60.0

LOCK = (
    b'<ObjectLockConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
    b"<ObjectLockEnabled>Enabled</ObjectLockEnabled><Rule><DefaultRetention>"
    b"<Mode>COMPLIANCE</Mode><Days>1</Days></DefaultRetention></Rule></ObjectLockConfiguration>"
)

CONF = """[global]
fsid={fsid}
mon initial members=a
mon host=[v2:127.0.0.1:{mon_v2},v1:127.0.0.1:{mon_v1}]
auth cluster required=none
auth service required=none
auth client required=none
auth supported=none
osd pool default size=1
osd pool default min size=1
osd pool default pg num=8
osd pool default pgp num=8
osd pool default pg autoscale mode=off
osd crush chooseleaf type=0
osd objectstore=memstore
memstore device bytes={store_bytes}
mon allow pool size one=true
mon warn on pool no redundancy=false
mon pg warn min per osd=0
mon max pg per osd=1000
mon data avail crit=0
ms bind ipv6=false
ms mon client mode=crc
ms mon cluster mode=crc
ms mon service mode=crc
public addr=127.0.0.1
cluster addr=127.0.0.1
run dir={folder}/run
admin socket={folder}/run/$cluster-$name.asok
log file={folder}/$name.log
pid file={folder}/run/$name.pid
crash dir={folder}/run
keyring={folder}/keyring
[mon.a]
mon data={folder}/mon
[osd.0]
osd data={folder}/osd
[client.rgw]
rgw frontends=beast endpoint=127.0.0.1:{port}
rgw dns name=localhost
"""


@dataclass(frozen=True)
class S3:
    """A running store. `elapsed_s` is how long it took to come up."""

    port: int
    elapsed_s: float

    @property
    def endpoint(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}"

    def make_bucket(self, name: str, *, locked: bool = False) -> None:
        """A new bucket; `locked` keeps every object in it for a day, whoever asks."""
        lock = {"x-amz-bucket-object-lock-enabled": "true"} if locked else {}
        self._ask("PUT", f"/{name}", headers=lock)
        if locked:
            digest = base64.b64encode(hashlib.md5(LOCK).digest()).decode()
            self._ask("PUT", f"/{name}", "object-lock=", LOCK, {"content-md5": digest})

    def put(self, path: str, data: bytes) -> None:
        """Write over an object behind Shippyard's back."""
        self._ask("PUT", path, body=data)

    def get(self, path: str) -> bytes:
        """An object as it lies there."""
        return self._ask("GET", path)

    def _ask(
        self,
        method: str,
        path: str,
        query: str = "",
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
    ) -> bytes:
        host = f"127.0.0.1:{self.port}"
        request = Request(method, host, path, query, body, headers or {})
        all_headers = signed_headers(request, REGION, KEYS, datetime.now(UTC))
        link = http.client.HTTPConnection(host, timeout=30)
        try:
            link.request(method, f"{path}?{query}", body=body, headers=all_headers)
            answer = link.getresponse()
            said = answer.read()
        finally:
            link.close()
        assert answer.status < 300, f"{method} {path}: {answer.status} {said[:200]!r}"
        return said


@contextlib.contextmanager
def s3(folder: Path, *, store_bytes: int = 2 * 1024**3) -> Iterator[S3]:
    """A store in `folder`, gone at the end.

    Raises:
        CouldNotRun: its programs are not here.
    """
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    if missing:
        raise CouldNotRun(f"no {missing[0]} here; apt-get install {PACKAGES}")
    began = time.monotonic()
    yard = _Yard(folder, store_bytes)
    try:
        yard.start()
        yield S3(yard.port, time.monotonic() - began)
    finally:
        yard.end()


class _Yard:
    """The three daemons, each in the foreground of a process of ours."""

    def __init__(self, folder: Path, store_bytes: int) -> None:
        self.folder = folder
        self.port = free_port()
        self._conf = folder / "ceph.conf"
        self._running: list[Program] = []
        for name in ("mon", "osd", "run"):
            (folder / name).mkdir(parents=True)
        (folder / "keyring").touch()
        self._fsid = str(uuid.uuid4())
        self._mon = (free_port(), free_port())
        self._conf.write_text(
            CONF.format(
                fsid=self._fsid,
                mon_v2=self._mon[0],
                mon_v1=self._mon[1],
                store_bytes=store_bytes,
                folder=folder,
                port=self.port,
            )
        )

    def start(self) -> None:
        """Up to a gateway that answers, with our user in it."""
        monmap = str(self.folder / "monmap")
        addresses = f"[v2:127.0.0.1:{self._mon[0]},v1:127.0.0.1:{self._mon[1]}]"
        self._run("monmaptool", "--create", "--addv", "a", addresses, "--fsid", self._fsid, monmap)
        keyring = str(self.folder / "keyring")
        made = ("--mkfs", "-i", "a", "--monmap", monmap, "--keyring", keyring)
        self._run("ceph-mon", *self._with_conf, *made)
        self._keep("ceph-mon", "-f", "-i", "a")
        self._ceph("osd", "create")
        self._run("ceph-osd", *self._with_conf, "-i", "0", "--mkfs")
        self._ceph("osd", "crush", "add", "osd.0", "1", "root=default", "host=h")
        self._keep("ceph-osd", "-f", "-i", "0")
        names = ("--access-key", KEYS.access_key, "--secret-key", KEYS.secret_key)
        user = ("user", "create", "--uid", "ship", "--display-name", "ship", *names)
        self._run("radosgw-admin", *self._with_conf, *user)
        none = ("--auth_client_required=none", "--ms_mon_client_mode=crc")
        gateway = self._keep("radosgw", "-f", "-n", "client.rgw", *none)
        until(lambda: self._answers() or not gateway.running, READY_S, "the gateway answering")
        assert gateway.running, f"the gateway ended: {gateway.said()[-300:]}"

    def end(self) -> None:
        """End them, the last one first."""
        for program in reversed(self._running):
            program.end()

    @property
    def _with_conf(self) -> tuple[str, str]:
        return "-c", str(self._conf)

    def _ceph(self, *arguments: str) -> None:
        self._run("ceph", *self._with_conf, "--connect-timeout", "20", *arguments)

    def _keep(self, name: str, *arguments: str) -> Program:
        program = Program([name, *self._with_conf, *arguments], self.folder, name)
        self._running.append(program)
        return program

    def _run(self, *argv: str) -> None:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=STEP_S, check=False)
        assert done.returncode == 0, f"{argv[0]}: {done.stderr[-300:]}"

    def _answers(self) -> bool:
        link = http.client.HTTPConnection("127.0.0.1", self.port, timeout=2)
        try:
            link.request("GET", "/")
            return link.getresponse().status < 500
        except OSError:
            return False
        finally:
            link.close()
