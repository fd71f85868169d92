"""`python -m shippyard`: the same program as the `shippyard` console script."""

from shippyard.cli.main import main

if __name__ == "__main__":
    main()
