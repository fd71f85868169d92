"""Who asked for a plan to run, who agreed, and what that is worth now."""
