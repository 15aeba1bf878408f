"""`python -m hts_classify` is the command `hts-classify`."""

from .commands import console

if __name__ == "__main__":
    console()
