"""`python -m interp_emerge`: the same as the command `interp-emerge`."""

if __name__ == "__main__":
    from interp_emerge.cli import main

    main()
