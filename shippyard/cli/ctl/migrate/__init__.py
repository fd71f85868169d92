"""`shippyard ctl migrate`, a file per thing that is asked for. `group.py` is the way in."""
