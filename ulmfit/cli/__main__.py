"""`python -m ulmfit.cli`, as `ulmfit`."""

from ulmfit.cli.app import main

if __name__ == "__main__":
    main()
