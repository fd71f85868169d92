#!/bin/bash
# Owns a fresh Debian 12 machine: a minimal root filesystem without PostgreSQL, in which steps are
# run one after another and timed. Knows nothing of what the steps mean.
#
#   fresh_machine.sh CACHE BUNDLE LOGS USER:NAME:COMMAND...
#
# CACHE keeps the root filesystem (made once), BUNDLE is a git bundle of what is cloned, LOGS gets
# the output of each step in NAME.log. USER is `root` or `person`; both clone for themselves, and
# nothing of pip is cached in the beginning. One line a step is written to stdout:
#
#   step NAME EXIT-STATUS SECONDS
#
# All runs in a mount and a process namespace of its own: however this ends, the mounts and the
# processes are gone with it. What stays is a folder under CACHE, removed here and by the next run.
set -euo pipefail

packages=python3,python3-venv,python3-pip,make,git,gcc,libc6-dev,ca-certificates
suite=bookworm

refuse() { echo "fresh_machine: $*" >&2; exit 69; }

[[ $# -ge 4 ]] || { sed -n '2,16s/^# \{0,1\}//p' "$0" >&2; exit 64; }
[[ $EUID -eq 0 ]] || refuse "needs root, to mount and to change root; run it as root"

if [[ -z ${FRESH_MACHINE_INSIDE:-} ]]; then
  FRESH_MACHINE_INSIDE=1 exec unshare --mount --pid --fork --kill-child --propagation private \
    bash "$0" "$@"
fi

cache=$(realpath -m "$1") bundle=$(realpath "$2") logs=$(realpath "$3")
shift 3
mkdir -p "$cache"
exec 9>"$cache/lock"
flock --nonblock 9 || refuse "another fresh machine uses $cache; wait until it ends"

base=$cache/$suite.tar lower=$cache/lower top=$cache/top machine=$cache/machine

# The host's own sources, so that mirrors and snapshots are the same.
sources() {
  local found=()
  for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.sources; do
    [[ -s $file ]] && found+=("$file")
  done
  [[ ${#found[@]} -gt 0 ]] || refuse "no apt sources on this machine to make another one from"
  printf '%s\n' "${found[@]}"
}

make_base() {
  [[ -s $base ]] && return
  command -v mmdebstrap >/dev/null || apt-get install -y -qq mmdebstrap >"$logs/base.log" 2>&1 ||
    refuse "mmdebstrap can't be installed; see $logs/base.log"
  local from
  mapfile -t from < <(sources)
  mmdebstrap --quiet --variant=minbase --include="$packages" "$suite" "$base.partial" "${from[@]}" \
    --format=tar >>"$logs/base.log" 2>&1 || refuse "mmdebstrap failed; see $logs/base.log"
  mv "$base.partial" "$base"
}

unpack() {
  [[ -e $lower/.whole ]] && return
  rm -rf --one-file-system "$lower"
  mkdir -p "$lower"
  tar --extract --file="$base" --directory="$lower" --numeric-owner --exclude='./dev/*'
  touch "$lower/.whole"
}

take_down() {
  umount --lazy --recursive "$machine" 2>/dev/null || true
  rm -rf --one-file-system "$top"
}

put_up() {
  take_down
  mkdir -p "$top/upper" "$top/work" "$machine"
  mount -t overlay overlay -o "lowerdir=$lower,upperdir=$top/upper,workdir=$top/work" "$machine"
  mount -t proc proc "$machine/proc"
  mount -t sysfs -o ro sysfs "$machine/sys"
  mount --rbind /dev "$machine/dev"
  mount -t tmpfs -o mode=1777 tmpfs "$machine/dev/shm"
}

# What this machine needs to reach the network: names, and an authority of its own when it has one.
connect() {
  cp --dereference /etc/resolv.conf "$machine/etc/resolv.conf"
  local authority=${PIP_CERT:-${SSL_CERT_FILE:-}}
  [[ -n $authority ]] || return 0
  cp --dereference "$authority" "$machine/etc/ssl/certs/ca-certificates.crt"
  printf '[global]\ncert = /etc/ssl/certs/ca-certificates.crt\ntimeout = %s\n' \
    "${PIP_DEFAULT_TIMEOUT:-60}" >"$machine/etc/pip.conf"
}

inside() { # USER HOME COMMAND
  local user=$1 home=$2
  shift 2
  chroot "$machine" /usr/bin/env -i HOME="$home" USER="$user" LOGNAME="$user" LANG=C.UTF-8 \
    PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    setpriv --reuid="$user" --regid="$user" --init-groups -- \
    timeout --kill-after=10 "${STEP_TIMEOUT_S:-1500}" bash -c "cd && $*" </dev/null
}

people() {
  chroot "$machine" useradd --create-home --shell /bin/bash person
  cp "$bundle" "$machine/srv/shippyard.bundle"
  chmod 644 "$machine/srv/shippyard.bundle"
  for user in root person; do
    inside "$user" "$(home_of "$user")" \
      "git clone --quiet /srv/shippyard.bundle shippyard" 2>&1
  done >"$logs/clone.log" || refuse "git clone failed; see $logs/clone.log"
}

home_of() { [[ $1 = root ]] && echo /root || echo "/home/$1"; }

step() { # USER NAME COMMAND
  local user=$1 name=$2 begun status=0
  shift 2
  begun=$(date +%s.%N)
  # In the background, so that a signal is heeded while it runs.
  inside "$user" "$(home_of "$user")" "cd shippyard && $*" >"$logs/$name.log" 2>&1 &
  wait $! || status=$?
  printf 'step %s %s %s\n' "$name" "$status" \
    "$(awk -v a="$begun" -v b="$(date +%s.%N)" 'BEGIN { printf "%.1f", b - a }')"
}

trap take_down EXIT
trap 'exit 143' TERM INT HUP
make_base
unpack
put_up
connect
people
for each in "$@"; do
  IFS=: read -r user name command <<<"$each"
  step "$user" "$name" "$command"
done
