"""What SeqProbe says when it cannot go on: what, where, got, expected, what to do."""


class SeqProbeError(Exception):
    """An error meant for the user: one line, and the exit code of the command line."""

    exit_code = 1

    def __init__(
        self, what: str, *, where: str = "", got: str = "", expected: str = "", do: str = ""
    ) -> None:
        parts = [f"{where}: {what}" if where else what]
        if got:
            parts.append(f"got {got}")
        if expected:
            parts.append(f"expected {expected}")
        self.do, self.said = do, "; ".join(parts)
        super().__init__(f"{self.said}." + (f" {do}" if do else ""))


class UsageError(SeqProbeError):
    """The request itself cannot be served: an unknown name, an impossible length."""

    exit_code = 2


class ModelError(SeqProbeError):
    """The model could not be rebuilt, or what was rebuilt is not the model in the file."""

    exit_code = 3


class FileError(SeqProbeError):
    """A file is missing, damaged, foreign or unsafe."""

    exit_code = 4


class LostProcess(SeqProbeError):
    """One of several processes that shared the work is not there any more."""

    exit_code = 5


class NotApplicable(SeqProbeError):
    """A measurement has no meaning for this model; the message says why."""
