"""Every refusal once, with the gRPC status it travels as.

The server raises these classes, the client catches the same ones. On the wire a
refusal is its status code, its message and its reason: the class name in
UPPER_SNAKE_CASE, in an ErrorInfo of the `grpc-status-details-bin` trailer.

    BacklitError
    ├── BadQuestion           the question cannot be answered as asked
    ├── BadModel              the file is not a model that can be served
    ├── BadUpload             the upload contradicts its own header
    ├── UnknownModel          there is no such model
    ├── NotDifferentiable     the method needs a gradient that the graph cannot give
    ├── NotExplainable        the model has nothing this method could look at
    │   └── NotForThisModel   the method is for models of another kind, such as detectors
    ├── WrongOffset           the upload goes on elsewhere than the server stands
    ├── Busy                  the same thing is being changed by somebody else
    ├── Overloaded            a limit of the server is reached
    ├── CorruptModel          the stored bytes are no longer those of the upload
    ├── NotAuthenticated      no token, or a wrong one
    ├── WorkerLost            the process that served the question died
    ├── ServerUnavailable     no server can be reached, or it is stopping
    ├── DeadlineExceeded      the caller's deadline passed
    └── InternalError         a defect of backlit
"""

import re


class BacklitError(Exception):
    """Anything backlit refuses; `code` is the name of its gRPC status, `details` are strings for programs."""

    code = "UNKNOWN"

    def __init__(self, message: str, **details: str) -> None:
        super().__init__(message)
        self.message = message
        self.details = details

    @classmethod
    def reason(cls) -> str:
        """The class name as it travels: BadQuestion -> BAD_QUESTION."""
        return re.sub(r"(?<!^)(?=[A-Z])", "_", cls.__name__).upper()


class BadQuestion(BacklitError):
    code = "INVALID_ARGUMENT"


class BadModel(BacklitError):
    code = "INVALID_ARGUMENT"


class BadUpload(BacklitError):
    code = "INVALID_ARGUMENT"


class UnknownModel(BacklitError):
    code = "NOT_FOUND"


class NotDifferentiable(BacklitError, NotImplementedError):
    code = "FAILED_PRECONDITION"


class NotExplainable(BacklitError):
    code = "FAILED_PRECONDITION"


class NotForThisModel(NotExplainable):
    """Nothing is wrong with the model."""


class WrongOffset(BacklitError):
    code = "OUT_OF_RANGE"


class Busy(BacklitError):
    code = "ABORTED"


class Overloaded(BacklitError):
    """Where waiting helps, its detail `retry_seconds` says for how long."""

    code = "RESOURCE_EXHAUSTED"

    @property
    def retry_seconds(self) -> float | None:
        """When to ask again; None where that does not help."""
        return float(self.details["retry_seconds"]) if "retry_seconds" in self.details else None


class CorruptModel(BacklitError):
    code = "DATA_LOSS"


class NotAuthenticated(BacklitError):
    code = "UNAUTHENTICATED"


class WorkerLost(BacklitError):
    code = "UNAVAILABLE"


class ServerUnavailable(BacklitError):
    code = "UNAVAILABLE"


class DeadlineExceeded(BacklitError):
    code = "DEADLINE_EXCEEDED"


class InternalError(BacklitError):
    code = "INTERNAL"


ERRORS: dict[str, type[BacklitError]] = {
    error.reason(): error
    for error in (
        BadQuestion,
        BadModel,
        BadUpload,
        UnknownModel,
        NotDifferentiable,
        NotExplainable,
        NotForThisModel,
        WrongOffset,
        Busy,
        Overloaded,
        CorruptModel,
        NotAuthenticated,
        WorkerLost,
        ServerUnavailable,
        DeadlineExceeded,
        InternalError,
    )
}


def revive(reason: str, message: str, details: dict[str, str] | None = None) -> BacklitError:
    """The error that left the other side; a reason this version does not know is an InternalError."""
    return ERRORS.get(reason, InternalError)(message, **(details or {}))
