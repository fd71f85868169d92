#!/bin/bash
# Owns a machine with a real systemd, booted from an overlay of this one's root: nothing of it stays.
# Knows nothing of what is done on it.
#
#   hostile_machine.sh SOURCES SITE OUT
#
# SOURCES is a tar with `shippyard`, `systemd` and `config`; SITE a folder of Python packages; OUT a
# folder that is /proof on the machine: /proof/inside.py is run there, as root, when it has booted.
# All runs in a mount and a process namespace of its own: however this ends, nothing is left.
set -euo pipefail

refuse() { echo "$*" >&2; exit 69; }

sources=$(realpath "$1") site=$(realpath "$2") out=$(realpath "$3")

if [[ -z ${HOSTILE_MACHINE_INSIDE:-} ]]; then
  [[ $EUID -eq 0 ]] || refuse "needs root, to boot a systemd"
  command -v systemd-nspawn >/dev/null || refuse "no systemd-nspawn here; install systemd-container"
  HOSTILE_MACHINE_INSIDE=1 exec unshare --mount --pid --fork --kill-child --mount-proc \
    --propagation private bash "$0" "$@"
fi

top=$out/machine
mkdir -p "$top"
mount -t tmpfs -o size=2g tmpfs "$top"
mkdir -p "$top/upper" "$top/work" "$top/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$top/upper,workdir=$top/work" "$top/root" ||
  refuse "no overlay of / can be mounted here"
root=$top/root

# As `make install` leaves it, without a network: our package, and the packages it needs beside it.
prefix=/opt/shippyard
rm -rf --one-file-system "$root$prefix"
mkdir -p "$root$prefix" "$root/opt/packages" "$root/proof" "$top/sources"
tar --extract --file "$sources" --directory "$top/sources"
/usr/bin/python3 -m venv --without-pip "$root$prefix"
packages=$(echo "$root$prefix"/lib/python3.*/site-packages)
cp -r "$top/sources/shippyard" "$packages/"
echo /opt/packages >"$packages/packages.pth"
printf '#!%s/bin/python\nfrom shippyard.cli.main import main\n\nmain()\n' "$prefix" \
  >"$root$prefix/bin/shippyard"
chmod 755 "$root$prefix/bin/shippyard"
ln -sf "$prefix/bin/shippyard" "$root/usr/local/bin/shippyard"
cp "$top"/sources/systemd/*.service "$top"/sources/systemd/*.socket "$root/etc/systemd/system/"
mkdir -p "$root/etc/sysusers.d" "$root/etc/tmpfiles.d"
cp "$top"/sources/systemd/sysusers.d/* "$root/etc/sysusers.d/"
cp "$top"/sources/systemd/tmpfiles.d/shippyard.conf "$root/etc/tmpfiles.d/"

cat >"$root/etc/systemd/system/proof.service" <<'UNIT'
[Unit]
SuccessAction=poweroff-force
FailureAction=poweroff-force
[Service]
Type=oneshot
ExecStart=/opt/shippyard/bin/python -B /proof/inside.py
StandardOutput=append:/proof/inside.out
StandardError=append:/proof/inside.err
TimeoutStartSec=400
UNIT
cat >"$root/etc/systemd/system/proof.target" <<'UNIT'
[Unit]
Requires=basic.target dbus.socket
After=basic.target dbus.socket
Wants=proof.service
AllowIsolate=yes
UNIT
rm -f "$root/etc/resolv.conf"

systemd-nspawn --quiet --register=no --keep-unit --private-network --link-journal=no \
  --console=pipe --machine="proof$RANDOM$RANDOM" --directory="$root" --bind-ro="$site:/opt/packages" \
  --bind="$out:/proof" --boot -- --unit=proof.target >"$out/console.log" 2>&1 </dev/null ||
  refuse "the machine did not boot; see its console: $(tail -n 1 "$out/console.log")"
