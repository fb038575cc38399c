"""`python -m workbench`: the same as the command."""

from workbench.cli import main

if __name__ == "__main__":
    main()
