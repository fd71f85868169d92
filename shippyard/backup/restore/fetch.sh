# Waits for one WAL file that recovery wants and moves it there: fetch NAME DESTINATION.
# 100 says that there is none. All else ends the server: recovery that went on would end too early
# and say nothing.
spool=${0%/*} quiet=0 last=
while :; do
  if [ -e "$spool/ready/$1" ]; then
    mv "$spool/ready/$1" "$2" && exit 0
    exit 200
  fi
  if [ -e "$spool/refused/$1" ]; then cat "$spool/refused/$1" >&2; exit 200; fi
  if [ -e "$spool/ended" ]; then echo "nobody hands out WAL any more" >&2; exit 200; fi
  if [ -e "$spool/absent/$1" ]; then exit 100; fi
  if [ ! -e "$spool/want/$1" ]; then : > "$spool/want/$1" || exit 200; fi
  # Who feeds the spool counts up; whoever was killed does not.
  read -r pulse < "$spool/pulse" || exit 200
  if [ "$pulse" = "$last" ]; then quiet=$((quiet + 1)); else quiet=0 last=$pulse; fi
  if [ "$quiet" -gt 3000 ]; then echo "nobody has handed out WAL for a minute" >&2; exit 200; fi
  sleep 0.02
done
