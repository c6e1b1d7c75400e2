"""What AWS and the network say, in one line that tells what to do.

Here: words for errors of botocore and of statements. Not here: which call failed, and on what
(whoever made it).
"""

from __future__ import annotations

from typing import Final

from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

AWSError = ClientError | BotoCoreError

_DENIED: Final = ("403", "AccessDenied", "AccessDeniedException", "Forbidden")
_UNKNOWN_CREDENTIALS: Final = (
    # All that a HEAD of S3 tells, which has no body.
    "400",
    "ExpiredToken",
    "ExpiredTokenException",
    "InvalidAccessKeyId",
    "InvalidClientTokenId",
    "InvalidToken",
    "RequestExpired",
    "UnrecognizedClientException",
)


def code_of(error: AWSError) -> str:
    """AWS's code of an error; of one of the network its kind."""
    if isinstance(error, ClientError):
        return error.response.get("Error", {}).get("Code", "an unknown error")
    return type(error).__name__


def aws_fault(error: AWSError) -> str:
    """What was said and what to do, as it stands after `<action> on <resource> failed: `.

    A message of AWS may repeat a value: only that of a denial is passed on, which names who may
    not do what.
    """
    code = code_of(error)
    if isinstance(error, ClientError) and code in _DENIED:
        told = "" if code == "403" else error.response.get("Error", {}).get("Message", "")
        return f"{code} ({told or 'no reason'}). Let this role do it, then run again."
    if code in _UNKNOWN_CREDENTIALS or isinstance(error, NoCredentialsError):
        return f"{code}. The credentials are not valid any more: renew them, then run again."
    if code.startswith("KMS"):
        return f"{code}. Enable the KMS key that it is encrypted with, then run again."
    if isinstance(error, BotoCoreError):
        return f"no answer ({code}). Look at the network and at AWS_REGION, then run again."
    return f"{code}. Wait a little if it stays so, then run again."


def may_be_done(error: BaseException | None) -> bool:
    """Whether what failed so may have taken effect all the same: only a refusal says that not."""
    if isinstance(error, ClientError):
        return error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 500) >= 500
    return True


def kind_of(reason: str) -> str:
    """The kind of a failed statement: Athena's whole reason may quote a value, and lies with it."""
    return reason.partition(":")[0][:80]
