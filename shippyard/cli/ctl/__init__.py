"""`shippyard ctl`: ask the running daemon, through its control socket and nothing else."""
